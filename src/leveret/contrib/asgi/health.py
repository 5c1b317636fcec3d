"""`/livez` and `/readyz` as an ASGI app, to be mounted into another one.

The answers are those of `leveret serve --health`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import msgspec

__all__ = ["Receive", "Scope", "Send", "Verdict", "answer"]

Scope = MutableMapping[str, Any]
"""What an ASGI server says of a connection (ASGI 3.0, "Connection Scope")."""
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""Gives the next event of it."""
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""Takes an event for it."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a program stands, in one respect."""

    good: str
    """What it is if there is nothing against it."""
    bad: str
    """What it is otherwise."""
    why: str = ""
    """What there is against it."""

    @property
    def status(self) -> int:
        """The HTTP status: 200 or 503."""
        return 503 if self.why else 200

    @property
    def body(self) -> bytes:
        """As JSON: `{"status":"ready","why":[]}`."""
        status = self.bad if self.why else self.good
        return msgspec.json.encode({"status": status, "why": [self.why] if self.why else []})


_NOT_FOUND: Final = b'{"status":"not found","why":["there is /livez and /readyz"]}'
_NOT_ALLOWED: Final = b'{"status":"not allowed","why":["there is GET and HEAD"]}'


async def answer(scope: Scope, send: Send, verdicts: Mapping[str, Verdict]) -> None:
    """Answer a request.

    :param verdicts: by the last part of the path, as in "livez".
    """
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    if scope["type"] != "http":
        raise ValueError(f"this ASGI app answers HTTP, and no {scope['type']}")
    verdict = verdicts.get(scope["path"].rstrip("/").rpartition("/")[2])
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if verdict is None:
        status, body = 404, _NOT_FOUND
    elif scope["method"] not in {"GET", "HEAD"}:
        status, body = 405, _NOT_ALLOWED
        headers.append((b"allow", b"GET, HEAD"))
    else:
        status, body = verdict.status, verdict.body
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    with_body = scope["method"] != "HEAD"
    await send({"type": "http.response.body", "body": body if with_body else b""})
