"""Runs an ASGI app in this process: its lifespan as an ASGI server has it, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

__all__ = ["StartFailed", "running"]

App = Callable[..., Awaitable[None]]


class StartFailed(Exception):
    """The app said that it cannot start."""


@asynccontextmanager
async def running(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """The app from its startup to its shutdown.

    :raises StartFailed: with what the app says.
    """
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    life = asyncio.ensure_future(app(scope, to_app.get, from_app.put))

    async def said(what: str) -> None:
        event = await from_app.get()
        if event["type"] != f"lifespan.{what}.complete":
            await asyncio.wait((life,))
            life.exception()
            raise StartFailed(event.get("message", ""))

    async def requested(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    to_app.put_nowait({"type": "lifespan.startup"})
    await said("startup")
    transport = httpx.ASGITransport(requested)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        try:
            yield client
        finally:
            to_app.put_nowait({"type": "lifespan.shutdown"})
            await said("shutdown")
            await life
