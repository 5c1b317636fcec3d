"""An item with a cursor, which says where a stream goes on after it."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from msgspec import Struct

__all__ = ["CursoredItem", "Item"]

T = TypeVar("T")


class CursoredItem(Struct, Generic[T], frozen=True):
    """An item and its cursor."""

    value: T
    """The value that is sent."""
    cursor: str
    """Tells the handler of another call where to go on."""


def Item(value: T, *, cursor: str) -> T:  # noqa: N802 - a kind of item, for its users
    """A value to yield, with a cursor of up to 255 bytes: where a stream goes on after it.

    If the server is lost, a method with `resume=True` is called again, and finds the cursor of the
    last item that its caller has in `current_call().cursor`. For type checkers and for
    callers of a remote it is the value. A direct call of an instance's method, as in a test, gives
    the record with `value` and `cursor`.

    :raises TypeError: if the cursor is not text. A number would have to be read from text again.
    """
    if not isinstance(cursor, str):
        raise TypeError(f"the cursor of an item is text; got {cursor!r:.80}")
    return cast("T", CursoredItem(value, cursor))
