"""The connection of a Django process.

It is made at the first use, as Django has settings by then, and connects with its first call. So
it works under `gunicorn --preload`: what a worker got from its parent connects anew in the worker.
Views of any kind share it. The loop of an async view may end with the request, as under WSGI, so
its calls run on the connection's own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from django.core.signals import setting_changed

import leveret.blocking
from leveret.contrib.django.settings import read_settings

__all__ = ["arun", "get_rabbit"]

T = TypeVar("T")

_made: Final[dict[str, leveret.blocking.Rabbit]] = {}
"""The connection, under its name here, once it is made."""
_RABBIT: Final = "rabbit"


def get_rabbit() -> leveret.blocking.Rabbit:
    """The connection of this process, by the setting LEVERET. All threads share it.

    It is closed when the process ends, or a test changes the setting: the next use makes another.

    :raises ImproperlyConfigured: if the setting cannot be read.
    :raises InvalidURL: if its URL cannot be read.
    :raises InvalidArgument: if one of its options has a value that cannot be used.
    """
    found = _made.get(_RABBIT)
    if found is None:
        settings = read_settings()
        made = leveret.blocking.connect(settings.url, **settings.options)
        # Of two threads that come first, one gets the other's: neither has connected so far.
        found = _made.setdefault(_RABBIT, made)
    return found


async def arun(call: Awaitable[T]) -> T:
    """Wait for a call, in an async view: what `get_rabbit().run` is in others.

    Where Django cancels the view, because its client has gone, the call is cancelled as well, also
    at its server.

    :raises CallError: whatever the call raises.
    """
    return await asyncio.wrap_future(get_rabbit().submit(call))


def _forget(*, setting: str, **_: Any) -> None:
    """A test changes the setting, or puts it back."""
    if setting == "LEVERET":
        rabbit = _made.pop(_RABBIT, None)
        if rabbit is not None:
            rabbit.close()


setting_changed.connect(_forget, dispatch_uid="leveret")
