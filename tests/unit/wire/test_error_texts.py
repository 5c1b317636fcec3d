"""What an exception says is told whole where it can be, and says so where it was cut."""

from __future__ import annotations

import pytest

from leveret.wire.error_texts import (
    MESSAGE_LIMIT,
    TRACEBACK_LIMIT,
    is_long,
    safe_repr,
    safe_str,
    shortened,
    shortened_traceback,
)

LONG = "x" * 1_000_000


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("nothing to say")

    __repr__ = __str__


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


def test_a_group_tells_of_the_errors_in_it() -> None:
    inner = ExceptionGroup("inner", [KeyError("b"), Unprintable()])
    assert safe_str(ExceptionGroup("both", [ValueError("a"), inner])) == (
        "both (2 sub-exceptions): ValueError: a; ExceptionGroup: inner (2 sub-exceptions):"
        " KeyError: 'b'; Unprintable: (an error whose __str__ fails)"
    )


def test_of_a_large_group_the_first_are_told() -> None:
    text = safe_str(ExceptionGroup("many", [ValueError(n) for n in range(12)]))
    assert text.endswith("ValueError: 9; and 2 more")


def test_a_text_that_was_cut_says_so_and_keeps_to_its_limit() -> None:
    assert shortened("x" * MESSAGE_LIMIT) == "x" * MESSAGE_LIMIT
    text = shortened(LONG)
    assert text.endswith("xxx... (cut; it has 1000000 characters)")
    assert len(text) == MESSAGE_LIMIT
    assert len(safe_repr(ValueError(LONG))) == MESSAGE_LIMIT
    assert safe_repr(Unprintable()) == "Unprintable(...)"


def test_a_traceback_that_was_cut_keeps_both_ends() -> None:
    text = shortened_traceback(raised(ValueError(LONG + "end")))
    assert "in raised\n    raise error from cause" in text
    assert text.endswith("end\n")
    assert "(cut; it has 1000" in text
    assert len(text) <= TRACEBACK_LIMIT


def test_an_error_is_long_if_anything_in_its_traceback_is() -> None:
    assert not is_long(raised(ValueError("short"), KeyError("short")))
    assert is_long(ValueError(LONG))
    assert is_long(raised(ValueError("short"), KeyError(LONG)))
    assert is_long(ExceptionGroup("short", [ValueError("short"), KeyError(LONG)]))
