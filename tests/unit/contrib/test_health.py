"""The ASGI app of `/livez` and `/readyz`, event by event."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest

from leveret.contrib.asgi.health import Verdict, answer

VERDICTS = {
    "livez": Verdict(good="alive", bad="dead"),
    "readyz": Verdict(good="ready", bad="not ready", why="draining"),
}


async def asked(**scope: Any) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    await answer({"type": "http", "method": "GET", "path": "/livez", **scope}, send, VERDICTS)
    return sent


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/livez", 200, {"status": "alive", "why": []}),
        ("/health/livez/", 200, {"status": "alive", "why": []}),
        ("/health/readyz", 503, {"status": "not ready", "why": ["draining"]}),
        ("/health", 404, {"status": "not found", "why": ["there is /livez and /readyz"]}),
    ],
)
async def test_the_last_part_of_the_path_counts(
    path: str, status: int, body: dict[str, Any]
) -> None:
    start, end = await asked(path=path)
    assert start["status"] == status
    assert msgspec.json.decode(end["body"]) == body
    assert (b"content-length", str(len(end["body"])).encode()) in start["headers"]


async def test_a_head_has_no_body_and_the_length_that_it_would_have() -> None:
    start, end = await asked(method="HEAD")
    assert start["status"] == 200
    assert end["body"] == b""
    assert (b"content-length", b"27") in start["headers"]


async def test_other_verbs_are_not_allowed() -> None:
    start, _ = await asked(method="POST")
    assert start["status"] == 405
    assert (b"allow", b"GET, HEAD") in start["headers"]


async def test_a_websocket_is_closed() -> None:
    assert await asked(type="websocket") == [{"type": "websocket.close", "code": 1008}]


async def test_it_has_no_lifespan_of_its_own() -> None:
    with pytest.raises(ValueError, match="no lifespan"):
        await asked(type="lifespan")
