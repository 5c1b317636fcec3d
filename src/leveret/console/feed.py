"""Server-sent events: a response that goes on until its browser leaves, or there is no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from leveret.console.leaving import unless_left

__all__ = ["Feed"]

log = logging.getLogger("leveret.console")

_QUIET: Final = 15.0
"""Seconds without an event after which a comment is sent, so that proxies keep the connection."""


class Feed(Response):
    """Sends events as they come. A browser that leaves ends what gives them.

    :param events: the name and the data of each.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[tuple[str, str]]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            await unless_left(receive, self._feed(send))
        except OSError:
            pass  # the browser has left
        except Exception:
            # The browser has its headers already, and asks again.
            log.exception("events could not be told to a browser")

    async def _feed(self, send: Send) -> None:
        comments = asyncio.ensure_future(_comments(send))
        try:
            async for name, data in self._events:
                await _send(send, _event(name, data))
        finally:
            comments.cancel()
            await asyncio.gather(comments, return_exceptions=True)
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(name: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n".encode()


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _comments(send: Send) -> None:
    while True:
        await asyncio.sleep(_QUIET)
        await _send(send, b": still here\n\n")
