"""A page of HTML that needs nothing else, and that no name of a service can break."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from leveret import service_schema
from leveret.documents import Server, ServicePage, read_page
from leveret.documents.html import html
from tests.unit.asyncapi.services import Depot, Shop

_VOID = frozenset({"meta"})
EVIL = "</code></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Reads a page strictly: all that is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    servers = [Server(instance="1", name="host:1"), Server(instance="2", name="host:2")]
    return html([read_page(service_schema(Shop)), read_page(service_schema(Depot), servers)])


def test_every_link_leads_to_a_place_of_the_page(page: str) -> None:
    read = Reader(page)
    assert len(read.ids) == len(set(read.ids))
    assert {"#shop", "#shop.order", "#shop-Item", "#depot-Item"} <= set(read.links)
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    read = Reader(page)
    assert read.tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert read.attributes.isdisjoint({"src", "style"})
    assert not any(name.startswith("on") for name in read.attributes)
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_its_own_policy_lets_in_only_its_style(page: str) -> None:
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    policy = re.search(r'Security-Policy" content="([^"]+)"', page)
    assert style is not None
    assert policy is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert policy[1].startswith("default-src 'none';")
    assert policy[1].endswith(f"style-src 'sha256-{digest}'")
    assert "color-scheme: light dark" in style[1]
    assert "prefers-color-scheme: dark" in style[1]


def test_it_tells_all(page: str) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", page))
    for told in (
        "It is sent | at once, to <the address> of the `caller`.",
        "Raises OutOfStock OUT_OF_STOCK",
        "at least 1, below 100",
        "Gives items of Item",
        "One of 'blue', 'red'",
        "Types: Color, Item",
        "at most 50 requests wait",
        "host:2",
    ):
        assert told in text, told


def hostile(tree: Any) -> Any:
    """A description in which all text that a server chooses is evil."""
    words = {"doc", "title", "description", "pattern", "queue", "content_type", "default"}
    if isinstance(tree, dict):
        return {
            (EVIL if key in {"sku", "count", "OUT_OF_STOCK"} else key): (
                EVIL if key in words and isinstance(value, str) else hostile(value)
            )
            for key, value in tree.items()
        }
    return [hostile(part) for part in tree] if isinstance(tree, list) else tree


def test_no_text_of_a_server_gets_out_of_its_place() -> None:
    described = {**hostile(service_schema(Shop)), "service": EVIL}
    described["methods"][EVIL] = described["methods"]["order"]
    evil: ServicePage = read_page(described, [Server(instance=EVIL, name=EVIL)])
    read = Reader(html([evil]))
    assert read.tags.isdisjoint({"script", "img"})
    assert "onerror" not in read.attributes


def test_bounds_and_words_of_a_result_are_told() -> None:
    described = service_schema(Depot)
    described["methods"]["weigh"]["result"] |= {"minimum": 0, "description": "In kg"}
    described["doc"] = "Weighs."
    page = html([read_page(described)])
    assert "<p>Returns <code>float</code>, at least 0, In kg</p>" in page


def test_a_page_of_nothing_says_so() -> None:
    assert "<title>no services</title>" in html([])
