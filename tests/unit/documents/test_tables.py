"""Tables without the columns that are empty."""

from __future__ import annotations

from leveret.documents.tables import filled


def test_a_column_that_is_empty_in_all_rows_is_left_out() -> None:
    rows = [("a", "", ""), ("b", "", "2")]
    assert filled(("name", "bounds", "default"), rows) == (
        ["name", "default"],
        [["a", ""], ["b", "2"]],
    )


def test_a_table_without_rows_has_no_columns() -> None:
    assert filled(("name",), []) == ([], [])
