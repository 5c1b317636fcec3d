"""One page of a long list: filtered, sorted and cut as the URL says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from msgspec import Struct

__all__ = ["PER_PAGE", "Column", "Listing", "listing"]

PER_PAGE: Final = 50
"""How many rows a page has."""

T = TypeVar("T")


class Column(Struct, Generic[T], frozen=True, kw_only=True):
    """A column by which a list can be sorted."""

    title: str
    """What stands above it."""
    key: Callable[[T], object]
    """What rows are sorted by."""
    is_number: bool = True
    """Whether it is on the right, and sorted with the largest first."""


class Listing(Struct, Generic[T], frozen=True, kw_only=True):
    """The rows of one page."""

    rows: Sequence[T]
    """Them."""
    total: int
    """How many there are on all pages."""
    of: int
    """How many there would be without the filter."""
    page: int
    """Which page, from 1."""
    pages: int
    """How many pages there are."""
    sort: str
    """The column's name, with "-" before it where the smallest is last; "" for the usual order."""
    query: str
    """What was searched for."""
    columns: Mapping[str, Column[T]]
    """By name, those that can be sorted by."""

    def next_sort(self, name: str) -> str:
        """What a click on a column sorts by."""
        largest_first, smallest_first = f"-{name}", name
        first, second = largest_first, smallest_first
        if not self.columns[name].is_number:
            first, second = second, first
        return second if self.sort == first else first


def listing(
    rows: Sequence[T],
    asked: Mapping[str, str],
    *,
    columns: Mapping[str, Column[T]],
    text: Callable[[T], str],
    per_page: int = PER_PAGE,
) -> Listing[T]:
    """The page of a list that a URL's query asks for: `q`, `sort` and `page`.

    :param rows: in the usual order.
    :param text: what of a row is searched. All words of `q` must be in it.
    """
    query = asked.get("q", "").strip()
    words = query.lower().split()
    found = [row for row in rows if all(word in text(row).lower() for word in words)]
    sort = asked.get("sort", "")
    column = columns.get(sort.removeprefix("-"))
    if column is None:
        sort = ""
    else:
        found.sort(key=lambda row: _comparable(column.key(row)), reverse=sort.startswith("-"))
    pages = max(-(-len(found) // per_page), 1)
    asked_page = asked.get("page", "1")
    page = int(asked_page) if asked_page.isascii() and asked_page.isdigit() else 1
    page = min(max(page, 1), pages)
    return Listing(
        rows=found[(page - 1) * per_page : page * per_page],
        total=len(found),
        of=len(rows),
        page=page,
        pages=pages,
        sort=sort,
        query=query,
        columns=columns,
    )


def _comparable(value: object) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))
