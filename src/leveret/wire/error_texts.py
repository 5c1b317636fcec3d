"""What an exception says, as text that can travel and be logged: whatever it is, and bounded."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

__all__ = [
    "MESSAGE_LIMIT",
    "TRACEBACK_LIMIT",
    "is_long",
    "safe_repr",
    "safe_str",
    "shortened",
    "shortened_inside",
    "shortened_traceback",
]

MESSAGE_LIMIT: Final = 4_000
"""Characters of an error's message that travel and are logged; an exception may hold anything."""
TRACEBACK_LIMIT: Final = 20_000
"""Characters of its traceback."""
_SHOWN: Final = 10
"""How many errors of a group are told."""


def safe_str(error: object) -> str:
    """`str(error)`, with the errors inside if it is a group.

    Words to that effect where the error's own `__str__` fails.
    """
    try:
        text = str(error)
        return f"{text}: {_inside(error)}" if isinstance(error, BaseExceptionGroup) else text
    except Exception:  # noqa: BLE001 - its code is a stranger's
        return "(an error whose __str__ fails)"


def safe_repr(error: object) -> str:
    """`repr(error)`, bounded, or its class alone where its own `__repr__` fails."""
    try:
        return shortened(repr(error))
    except Exception:  # noqa: BLE001 - its code is a stranger's
        return f"{type(error).__name__}(...)"


def shortened(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text, or its beginning with a remark that it was cut: `limit` characters at most."""
    if len(text) <= limit:
        return text
    cut = f"... (cut; it has {len(text)} characters)"
    return text[: limit - len(cut)] + cut


def shortened_traceback(error: BaseException) -> str:
    """Its traceback, without the middle where it is too long: both ends say what happened."""
    text = "".join(traceback.format_exception(error))
    return shortened_inside(text)


def shortened_inside(text: str) -> str:
    """The text, or its two ends with a remark: `TRACEBACK_LIMIT` characters at most."""
    if len(text) <= TRACEBACK_LIMIT:
        return text
    cut = f"\n... (cut; it has {len(text)} characters)\n"
    half = (TRACEBACK_LIMIT - len(cut)) // 2
    return text[:half] + cut + text[-half:]


def is_long(error: BaseException) -> bool:
    """Whether the log would hold more than `MESSAGE_LIMIT` characters of one message.

    A traceback has the messages of what caused an error, and of all that is in a group, as well.
    """
    return any(len(safe_str(one)) > MESSAGE_LIMIT for one in _all_of(error))


def _inside(group: BaseExceptionGroup[BaseException]) -> str:
    errors = group.exceptions
    told = [f"{type(error).__name__}: {safe_str(error)}" for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        told.append(f"and {len(errors) - _SHOWN} more")
    return "; ".join(told)


def _all_of(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what is in it if it is a group."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
