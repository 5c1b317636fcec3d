"""`rabbit.send`: one-way requests, confirmed by the broker and answered by nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec

from leveret.client.options import GivenOptions
from leveret.client.verbs.remote_methods import remote_method_of

P = ParamSpec("P")


def send(
    method: Callable[P, Awaitable[object]], options: GivenOptions
) -> Callable[P, Coroutine[Any, Any, None]]:
    """Turn a remote method into one whose requests are one-way, with the same parameters.

    :param options: replace those of its remote.
    :raises InvalidArgument: for anything but a method of a remote.
    """
    return remote_method_of(method, "send").changed(options).one_way()
