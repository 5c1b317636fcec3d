"""Offsets from UTC with seconds, which the text of a date or a time cannot have.

RFC 3339, section 5.6, ends an offset with its minutes. msgspec drops the rest and keeps the local
time, so that another moment would arrive. Places have such offsets before they had time zones: the
clocks of Berlin were 53 minutes and 28 seconds ahead of UTC until 1893.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any, Final

import msgspec

from leveret.codec.content_type import JSON
from leveret.codec.kindred import plain

__all__ = ["may_have_offsets", "refuse_odd_offset", "refuse_odd_offsets"]

_ZONED: Final = re.compile(rb":\d\d(?:\.\d+)?[Z+-]")
"""Where the text of a date or a time ends, and its offset begins."""
_MINUTE: Final = timedelta(minutes=1)


def may_have_offsets(body: bytes) -> bool:
    """Whether there may be a date or a time with an offset in a body."""
    return _ZONED.search(body) is not None


def refuse_odd_offsets(
    content_type: str, body: bytes, value: Any, known: Callable[[Any], Any] = plain
) -> None:
    """Look for dates and times in `value` whose offset its body does not have.

    :param body: the encoded value. In MessagePack times are text, and dates are not.
    :param known: makes known values of others, as the encoder has it.
    :raises ValueError: if there is one; the message says where, as msgspec does.
    """
    if not may_have_offsets(body):
        return
    kept = (datetime, time) if content_type == JSON else (time,)
    try:
        builtins = msgspec.to_builtins(value, builtin_types=kept, enc_hook=known)
    except Exception:  # noqa: BLE001 - types run code of their own
        return
    left = [("$", builtins)]
    while left:
        path, found = left.pop()
        if isinstance(found, datetime | time):
            refuse_odd_offset(found, f" - at `{path}`")
        elif isinstance(found, dict):
            left.extend((f"{path}.{name}", inner) for name, inner in found.items())
            left.extend((f"key` in `{path}", name) for name in found)
        elif isinstance(found, list | tuple):
            left.extend((f"{path}[{number}]", inner) for number, inner in enumerate(found))


def refuse_odd_offset(value: Any, where: str = "") -> None:
    """Refuse a date or a time whose offset is no whole number of minutes.

    :raises ValueError: if `value` is one.
    """
    offset = value.utcoffset() if isinstance(value, datetime | time) else None
    if offset is not None and offset % _MINUTE:
        raise ValueError(
            f"text cannot carry an offset from UTC with seconds, as that of {value.isoformat()}; "
            f"convert it, as by astimezone(UTC){where}"
        )
