"""A connection belongs to the event loop that it was opened in, and ends with it."""

from __future__ import annotations

import asyncio

__all__ = ["check_loop"]


def check_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Raise an error with advice if a connection is used from another event loop.

    :param loop: the connection's event loop.
    :raises RuntimeError: if another one is running.
    """
    if asyncio.get_running_loop() is loop:
        return
    if loop.is_closed():
        raise RuntimeError(
            "the event loop of this connection has ended, and the connection with it: `async with"
            " rabbit` or `await rabbit` opens it again in the current loop. Before a loop ends,"
            " close what was opened in it: with `async with`, or `await rabbit.close()`"
        )
    raise RuntimeError(
        "this connection belongs to another event loop: each loop needs a connection of its own,"
        " from a leveret.connect() in the loop that makes the calls. In pytest, give a test and its"
        " fixtures the same loop scope. A call of leveret.blocking is for `run` of its own"
        " connection"
    )
