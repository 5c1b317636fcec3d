"""`run`: runs an asyncio program on the fastest event loop available, and gives such a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from inspect import iscoroutine
from typing import Any, TypeVar

from leveret.rabbit.rabbit import Rabbit

__all__ = ["new_event_loop", "run"]

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: of uvloop if that is installed, else of asyncio."""
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as `asyncio.run` does, on uvloop if that is installed.

    :raises TypeError: if `main` is not a coroutine, before anything runs.
    """
    given: object = main
    if not iscoroutine(given):
        raise TypeError(f"leveret.run() takes a coroutine, as in leveret.run(main()); {_not(main)}")
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def _not(main: object) -> str:
    """Names what was given instead, and what to write."""
    if isinstance(main, Rabbit):
        return (
            "a connection ends with its event loop: open it inside of main, with"
            " `async with leveret.connect() as rabbit`"
        )
    name = getattr(main, "__name__", "")
    if callable(main) and name:
        return f"write {name}() with parentheses"
    return f"got {type(main).__name__}"
