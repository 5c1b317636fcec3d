"""Queries of URLs, and templates that escape what they are given."""

from __future__ import annotations

from starlette.requests import Request

from leveret.console.poller import Poller
from leveret.console.rendering import Pages, with_changes
from leveret.wire.stats import ServerStats


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
