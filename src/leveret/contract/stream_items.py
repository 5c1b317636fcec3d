"""What a handler yields beside a value: where a stream goes on after it."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from msgspec import Struct

__all__ = ["CursoredItem", "Item"]

T = TypeVar("T")


class CursoredItem(Struct, Generic[T], frozen=True):
    """An item and its cursor."""

    value: T
    """What is sent."""
    cursor: str
    """What tells the handler of another call where to go on."""


def Item(value: T, *, cursor: str) -> T:  # noqa: N802 - a kind of item, for its users
    """A value to yield, with a cursor: up to 255 bytes that say where a stream goes on after it.

    If the server is lost, a method with `resume=True` is called again, and finds the cursor of the
    last item that its caller has in `current_call().cursor`. For type checkers it is the value, and
    so it is for callers of a remote. Who calls the method of an instance itself, as a test does,
    gets what it yields: a record with `value` and `cursor`.
    """
    return cast("T", CursoredItem(value, cursor))
