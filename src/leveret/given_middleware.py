"""What can be middleware, of a client or of a server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = ["read_middleware"]

_WHAT: Final = "middleware must be a list of functions, each `async def (call, call_next)`; got "


def read_middleware(given: object) -> tuple[Callable[..., Any], ...]:
    """What a user gave, as a tuple.

    A plain function that returns an awaitable is middleware as well. Whether it does is seen only
    when it runs.

    :raises ValueError: if it is not a list, or something in it cannot be called with two arguments.
    """
    if callable(given):
        raise ValueError(f"{_WHAT}{given!r}, which is no list: put it into one")
    if not isinstance(given, Iterable):
        raise ValueError(f"{_WHAT}{given!r}")
    read = tuple(given)
    for one in read:
        why = _why_not(one)
        if why:
            raise ValueError(_WHAT + why)
    return read


def _why_not(one: object) -> str:
    """Why this cannot be middleware; "" if it can."""
    if not callable(one):
        return f"{one!r} in it"
    if isinstance(one, type) and not hasattr(one, "__await__"):
        return f"the class {one.__qualname__} in it, not an instance of it"
    try:
        signature = inspect.signature(one)
    except (TypeError, ValueError):  # of what is written in C: who knows?
        return ""
    try:
        signature.bind(None, None)
    except TypeError:
        return f"{one!r} in it, which takes {signature}"
    return ""
