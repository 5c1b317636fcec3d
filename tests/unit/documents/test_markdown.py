"""Services as Markdown."""

from __future__ import annotations

import re
from functools import cache

from leveret import service_schema
from leveret.documents import Server, ServicePage, read_page
from leveret.documents.markdown import markdown
from tests.unit.asyncapi.services import Depot, Shop


@cache
def text() -> str:
    """Made by the first test: coverage counts then."""
    servers = [Server(instance="1", name="a_b")]
    return markdown([read_page(service_schema(Shop)), read_page(service_schema(Depot), servers)])


def test_it_tells_all() -> None:
    for told in (
        "# shop\n\nSells items.\n",
        "## shop.order\n\n```python\nasync def order(\n    self,\n    item: Item,\n",
        "It is sent | at once, to &lt;the address> of the `caller`.",
        "| `count` | `int` | `1` | at least 1, below 100 |",
        "| `at` | `date \\| None` | `None` |  |",
        "Raises `OutOfStock`, code `OUT_OF_STOCK`\n\nThere are not enough.\n",
        "Gives items of `Item`\n",
        "| idempotent | running a call twice does no harm",
        "## Types\n\n### Cat\n",
        "One of `'blue'`, `'red'`\n",
        "| `sku` | `str` |  | 1 to 20 characters | Its name in stock |",
        "| a\\_b | `1` |",
    ):
        assert told in text(), told


def test_tables_have_as_many_cells_in_each_row() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", text(), re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(counts) == 1, table


def test_no_text_of_a_server_gets_out_of_its_place() -> None:
    described = service_schema(Depot)
    method = described["methods"].pop("weigh")
    method["doc"] = "# A heading\n<script>"
    method["content_type"] = "a`b|c\n# d"
    method["arguments"]["properties"] = {"a`b``c": {"type": "integer", "title": "|"}}
    described["methods"]["`x`\n```"] = method
    evil = markdown([read_page(described)])
    assert "\\# A heading\n&lt;script>" in evil
    assert "| content type | a\\`b\\|c \\# d |" in evil
    assert "| ```a`b``c``` |" in evil
    assert re.search(r"^````python\n", evil, re.MULTILINE)


def test_bounds_and_words_of_a_result_are_told() -> None:
    described = service_schema(Depot)
    described["methods"]["weigh"]["result"] |= {"minimum": 0, "description": "In kg"}
    page: ServicePage = read_page(described)
    assert "Returns `float` (at least 0): In kg\n" in markdown([page])
