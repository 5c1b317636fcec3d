"""Server-sent events: their form, their end, and a browser that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leveret.console import feed
from leveret.console.feed import Feed


async def run(made: Feed, left: asyncio.Event) -> tuple[dict[bytes, bytes], bytes]:
    headers: dict[bytes, bytes] = {}
    sent: list[bytes] = []

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        headers.update(message.get("headers", ()))
        sent.append(message.get("body", b""))
        if b"last" in message.get("body", b"") or message.get("body", b"").startswith(b":"):
            left.set()

    await made({"type": "http"}, receive, send)
    return headers, b"".join(sent)


async def test_each_event_has_a_name_and_lines() -> None:
    async def events() -> AsyncIterator[tuple[str, str]]:
        yield "item", "one\ntwo"
        yield "end", "{}"

    headers, body = await run(Feed(events()), asyncio.Event())
    assert body == b"event: item\ndata: one\ndata: two\n\nevent: end\ndata: {}\n\n"
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in headers


async def test_a_browser_that_leaves_ends_what_gives_the_events() -> None:
    is_closed = False

    async def events() -> AsyncIterator[tuple[str, str]]:
        nonlocal is_closed
        try:
            yield "item", "last"
            await asyncio.Event().wait()
        finally:
            is_closed = True

    async with asyncio.timeout(30):
        await run(Feed(events()), asyncio.Event())
    assert is_closed


async def test_a_quiet_connection_is_kept_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_QUIET", 0.0)

    async def events() -> AsyncIterator[tuple[str, str]]:
        await asyncio.Event().wait()
        yield "never", ""

    async with asyncio.timeout(30):
        _, body = await run(Feed(events()), asyncio.Event())
    assert body.startswith(b": ")


async def test_what_fails_while_events_are_told_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def events() -> AsyncIterator[tuple[str, str]]:
        yield "item", "1"
        raise KeyError("a bug")

    async with asyncio.timeout(30):
        _, body = await run(Feed(events()), asyncio.Event())
    assert body.startswith(b"event: item")
    assert "KeyError" in caplog.text
