"""Queries of URLs, and templates that escape what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request

from leveret.client.survey import StatsSurvey
from leveret.console.listing import Column, listing
from leveret.console.poller import Poller
from leveret.console.rendering import Pages, with_changes
from leveret.console.rows import ServiceRow
from leveret.wire.stats import ServerStats

COLUMNS: Final[Mapping[str, Column[ServiceRow]]] = {
    name: Column(title=name, key=str)
    for name in (
        *("service", "method", "queue", "instances", "rate", "failed", "p50", "p95"),
        *("running", "waiting", "unacked"),
    )
}


def test_a_change_of_a_query_leaves_the_rest() -> None:
    assert with_changes({"q": "a b", "page": "2"}, {"page": None, "sort": "-p95"}) == (
        "?q=a+b&sort=-p95"
    )
    assert with_changes({}, {}) == "?"


def test_what_servers_say_is_no_html() -> None:
    async def nothing() -> object:
        return None

    pages = Pages(
        version="1",
        allow_calls=False,
        has_log_in=False,
        poller=Poller(nothing),  # type: ignore[arg-type]
    )
    scope = {"type": "http", "query_string": b"", "headers": [], "root_path": "/ops"}
    made = pages.render(
        Request(scope), "missing.html", status=404, view=ServerStats(), text="<script>alert(1)"
    )
    text = bytes(made.body).decode()
    assert made.status_code == 404
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert 'href="/ops/methods"' in text


async def test_pages_say_that_the_broker_did_not_count_the_servers() -> None:
    async def answers() -> StatsSurvey:
        server = ServerStats(instance="a", services=["shop"])
        return StatsSurvey(servers=[server], missing={}, uncounted=("shop",))

    poller = Poller(answers)
    await poller.poll()
    pages = Pages(
        version="1", allow_calls=False, has_log_in=False, poller=poller, quantile=lambda *_: None
    )
    request = Request({"type": "http", "query_string": b"", "headers": [], "root_path": ""})

    def page(name: str, **values: Any) -> str:
        rows = list(poller.view.services.values()) if name == "overview.html" else []
        shown = listing(rows, {}, columns=COLUMNS, text=str)
        made = pages.render(request, name, view=poller.view, list=shown, **values)
        return bytes(made.body).decode()

    row = poller.view.services["shop"]
    for text in (
        page("overview.html", troubled=[], failing=[], slowest=[]),
        page("queues.html", rows=[], held={}, why=""),
        page("service.html", row=row, servers=[], all_servers=0, doc="", differing=[], metadata={}),
    ):
        assert "Perhaps not complete:" in text
        assert "the broker did not say how many" in text
