"""The console while no broker can be reached; what it shows of one is tests/behaviour."""

from __future__ import annotations

import httpx

from leveret.console import app


async def test_a_broker_that_was_never_there_is_shown_as_away() -> None:
    console = app("amqp://guest:guest@127.0.0.1:1/", allow_calls=True)
    async with (
        console.router.lifespan_context(console),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(console),
            base_url="http://console",
            headers={"origin": "http://console"},
        ) as visitor,
    ):
        page = await visitor.get("/")
        assert page.status_code == 200
        assert "The broker is away" in page.text
        assert "Nothing is known" in page.text
        assert (await visitor.get("/method/a.b")).status_code == 404
        nowhere = await visitor.get("/static/nothing.css")
        assert nowhere.status_code == 404
        assert 'href="/methods"' in nowhere.text
        assert "/static/static" not in nowhere.text
        for path in ("/methods", "/failures", "/queues", "/map"):
            assert (await visitor.get(path)).status_code == 200, path
        failed = await visitor.post("/call/a.b", json={"timeout": 0.01})
        assert failed.json()["ok"] is False
