"""How what stands in columns is put into order, and at which heights."""

from __future__ import annotations

from itertools import pairwise

from leveret.console.columns import Item, Lane, in_order, middles_of
from leveret.console.layering import layered


def test_lines_cross_no_more_than_they_must() -> None:
    columns = [["a", "b", "c"], ["x", "y", "z"]]
    links: list[tuple[Item, Item]] = [("a", "z"), ("b", "x"), ("c", "y")]
    left, right = in_order(columns, links)
    assert [dict(links)[item] for item in left] == right


def test_what_is_linked_is_level_and_nothing_covers_anything() -> None:
    lane = Lane(to="c", is_backward=False, column=1)
    columns: list[list[Item]] = [["a"], ["x", lane, "y"], ["c"]]
    links: list[tuple[Item, Item]] = [("a", lane), (lane, "c"), ("a", "x"), ("a", "y")]
    middles = middles_of(columns, links, (40, 10, 5))
    assert abs(middles["a"] - middles[lane]) < 1
    assert abs(middles["c"] - middles[lane]) < 1
    for a, b in pairwise(columns[1]):
        assert middles[b] - middles[a] >= 30 - 1e-9
    assert min(middles.values()) >= 5


def test_a_line_that_passes_a_column_has_a_lane_there_and_shares_it_with_lines_to_the_same() -> (
    None
):
    layout = layered(
        ("a", "b", "c", "d"), (("a", "b"), ("b", "c"), ("a", "c"), ("c", "a")), (1, 1, 1)
    )
    assert [list(names) for names in layout.columns] == [["a", "d"], ["b"], ["c"]]
    assert layout.ways["a", "c"] == ["a", Lane(to="c", is_backward=False, column=1), "c"]
    assert layout.ways["c", "a"] == ["a", Lane(to="a", is_backward=True, column=1), "c"]
    assert layout.backward == {("c", "a")}
    several = layered(
        ("a", "b", "c", "d"),
        (("a", "c"), ("b", "c"), ("a", "d"), ("b", "d"), ("d", "c")),
        (1, 1, 1),
    )
    assert several.ways["a", "c"][1] == several.ways["b", "c"][1]


def test_nothing_is_laid_out_of_nothing() -> None:
    assert layered((), (), (1, 1, 1)).columns == []
