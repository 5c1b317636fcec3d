"""What docs/console.md shows works."""

from __future__ import annotations

import inspect

import httpx
from starlette.applications import Starlette

from leveret.cli.commands.console import console
from tests.docs.fences import ROOT, blocks

DOCUMENT = "docs/console.md"


async def test_the_console_is_mounted_as_shown(rabbitmq_url: str) -> None:
    (block,) = blocks(DOCUMENT, "python")
    shown: dict[str, object] = {}
    exec(block.text.replace("amqp://localhost/", rabbitmq_url), shown)
    app = shown["app"]
    assert isinstance(app, Starlette)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops") as visitor,
    ):
        assert (await visitor.get("/ops/leveret/")).status_code == 401
        page = await visitor.get("/ops/leveret/", headers={"x-user": "ann"})
        assert "Services" in page.text


def test_the_options_that_it_names_are_there() -> None:
    text = (ROOT / DOCUMENT).read_text()
    named = ("allow_calls", "token", "user_header", "root_path", "show_arguments", "trace_link")
    for option in (*named, "host"):
        assert f"--{option.replace('_', '-')}" in text
        assert option in inspect.signature(console).parameters
