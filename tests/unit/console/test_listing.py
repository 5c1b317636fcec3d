"""One page of a list: what the query of a URL asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from leveret.console.listing import Column, Listing, listing

COLUMNS: Final[Mapping[str, Column[tuple[str, int | None]]]] = {
    "name": Column(title="Name", key=lambda row: row[0], is_number=False),
    "size": Column(title="Size", key=lambda row: row[1]),
}
ROWS: Final[list[tuple[str, int | None]]] = [("b", 2), ("a", None), ("c", 10)]


def shown(**asked: str) -> Listing[tuple[str, int | None]]:
    return listing(ROWS, asked, columns=COLUMNS, text=lambda row: row[0], per_page=2)


def test_without_a_query_the_usual_order_holds() -> None:
    first = shown()
    assert [row[0] for row in first.rows] == ["b", "a"]
    assert (first.total, first.of, first.page, first.pages, first.sort) == (3, 3, 1, 2, "")


def test_a_page_that_there_is_not_is_the_nearest() -> None:
    assert [row[0] for row in shown(page="2").rows] == ["c"]
    assert [shown(page=page).page for page in ("99", "0", "-1", "x", "²")] == [2, 1, 1, 1, 1]


def test_all_words_of_a_search_must_be_there() -> None:
    found = listing(ROWS, {"q": "A"}, columns=COLUMNS, text=lambda row: f"{row[0]} row")
    assert [row[0] for row in found.rows] == ["a"]
    assert (found.total, found.of, found.query) == (1, 3, "A")
    assert not listing(ROWS, {"q": "a b"}, columns=COLUMNS, text=lambda row: row[0]).rows


def test_a_list_is_sorted_by_the_whole_of_it_and_a_second_click_turns_it() -> None:
    assert [row[0] for row in shown(sort="-size").rows] == ["c", "b"]
    assert [row[0] for row in shown(sort="size").rows] == ["a", "b"]
    assert [row[0] for row in shown(sort="name").rows] == ["a", "b"]
    assert shown(sort="nonsense").sort == ""
    assert shown().next_sort("size") == "-size"
    assert shown(sort="-size").next_sort("size") == "size"
    assert shown().next_sort("name") == "name"
    assert shown(sort="name").next_sort("name") == "-name"
