"""What the guard lets through."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from leveret.console.access import COOKIE, Access
from leveret.console.guard import Guard


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await PlainTextResponse("seen")(scope, receive, send)


def visitor(access: Access, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Guard(page, access), **options)
    return httpx.AsyncClient(transport=transport, base_url="http://console")


async def test_each_answer_has_the_headers_that_keep_others_out() -> None:
    async with visitor(Access(hosts=("localhost",))) as other:
        refused = await other.get("/")
        assert refused.status_code == 421
        assert "default-src 'none'" in refused.headers["content-security-policy"]
        assert refused.headers["cache-control"] == "no-store"


async def test_who_has_no_cookie_is_led_to_the_log_in_and_back() -> None:
    access = Access(token="secret")
    async with visitor(access, root_path="/ops") as stranger:
        led = await stranger.get("/ops/calls?q=a", headers={"accept": "text/html"})
        assert led.status_code == 303
        assert led.headers["location"] == "/ops/login?next=%2Fcalls%3Fq%3Da"
        assert (await stranger.get("/ops/events")).status_code == 401
        for free in ("/ops/login", "/ops/static/console.css"):
            assert (await stranger.get(free)).status_code == 200
        seen = await stranger.get("/ops/", headers={"cookie": f"{COOKIE}={access.cookie}"})
        assert seen.text == "seen"


async def test_a_proxy_that_leaves_the_path_on_is_told_so_and_not_led_in_a_circle() -> None:
    async with visitor(Access(token="secret"), root_path="/ops") as stranger:
        # A server puts its root path before what the proxy sent: that was /ops/login.
        led = await stranger.get("/ops/ops/login?next=%2Fops%2F", headers={"accept": "text/html"})
        assert led.status_code == 404
        assert "the proxy is to take /ops off the path" in led.text


async def test_behind_a_proxy_nobody_gets_in_without_a_name() -> None:
    async with visitor(Access(user_header="X-User")) as visitor_:
        assert (await visitor_.get("/", headers={"x-user": "ann"})).text == "seen"
        assert (await visitor_.get("/", headers={"accept": "text/html"})).status_code == 401
        assert (await visitor_.get("/login")).status_code == 401


@pytest.mark.parametrize(
    ("origin", "status"), [("http://console", 200), ("http://evil.example", 403), (None, 403)]
)
async def test_a_write_must_come_from_its_own_page(origin: str | None, status: int) -> None:
    async with visitor(Access()) as other:
        headers = {} if origin is None else {"origin": origin}
        answer = await other.post("/calls/stop", headers=headers)
        assert answer.status_code == status
        assert ("Host" in answer.text) == (origin == "http://evil.example")


async def test_what_is_no_request_is_handed_on() -> None:
    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await Guard(page, Access(token="secret"))({"type": "lifespan"}, nothing, nothing)
