"""`rabbit.ask_all`: one call that every server of a service runs, and each server's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar, cast

from leveret.client.invocations import MakeCodec
from leveret.client.invokes import MakesCalls
from leveret.client.options import MAX_TIMEOUT, CallOptions, GivenOptions, check_flag
from leveret.client.remote_method import RemoteMethod
from leveret.client.verbs.answers import Answers
from leveret.client.verbs.asking import Asker, AskingServers, check_options
from leveret.client.verbs.remote_methods import remote_method_of
from leveret.contract import MethodSpec
from leveret.errors import InvalidArgument
from leveret.given_numbers import is_number

P = ParamSpec("P")
R = TypeVar("R")

STALL: Final = 2.0
"""Seconds without news after which servers that have not answered count as missing."""


def ask_all(
    method: Callable[P, Awaitable[R]],
    client_here: Callable[[], Asker],
    options: GivenOptions,
    *,
    timeout: float | None,
    stall: float,
    allow_effects: bool,
) -> Callable[P, Coroutine[Any, Any, Answers[R]]]:
    """Turn a remote method into one that every server runs, with the same parameters.

    :param options: replace those of its remote.
    :raises InvalidArgument: for anything but a method of a remote, for one that is not idempotent
        without `allow_effects`, and for options that these calls cannot have.
    """
    remote = remote_method_of(method, "ask_all").changed(options)
    _check_stall(stall)
    check_flag(allow_effects, "allow_effects")

    def made(
        spec: MethodSpec, options: CallOptions, make_codec: MakeCodec, like: MakesCalls
    ) -> AskingServers:
        _check(spec, options, allow_effects=allow_effects)
        return AskingServers(spec, options, make_codec, client_here, like, stall)

    asking: RemoteMethod = remote.through(made, timeout=timeout)
    return cast("Callable[P, Coroutine[Any, Any, Answers[R]]]", asking)


def _check_stall(stall: object) -> None:
    """:raises InvalidArgument: if it is not a number of seconds."""
    if not (is_number(stall) and 0 < stall <= MAX_TIMEOUT):
        raise InvalidArgument(
            f"stall must be a number of seconds above 0, up to {MAX_TIMEOUT:.0f}; got {stall!r}"
        )


def _check(spec: MethodSpec, options: CallOptions, *, allow_effects: bool) -> None:
    """:raises InvalidArgument: if the method is not idempotent, without `allow_effects`."""
    if not (spec.idempotent or allow_effects):
        raise InvalidArgument(
            "it is not idempotent, and ask_all has every server run it; say so if that is what you"
            " want: ask_all(method, allow_effects=True), or `leveret call --all --allow-effects`",
            method=spec.key,
        )
    check_options("ask_all", spec, options)
