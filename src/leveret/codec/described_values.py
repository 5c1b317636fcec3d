"""Values of described types as their callers have them: dicts, lists and Python's own values."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

__all__ = ["as_plain"]

_PLAIN: Final = (bytes, datetime, date, time, timedelta, UUID, Decimal)


def as_plain(value: Any) -> Any:
    """Return a value of a described type as dicts, lists and Python's own values.

    Inside `Any` it may have values of other kinds, as arrays are. They stay what they are.
    """
    try:
        return msgspec.to_builtins(value, builtin_types=_PLAIN)
    except TypeError:
        return _with_others(value)


def _with_others(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_others(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_with_others, value))
    if not isinstance(value, msgspec.Struct):
        return value
    config = value.__struct_config__
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    members = {name: _with_others(getattr(value, field)) for name, field in names}
    if config.array_like:
        return [*members.values()]
    tag = {} if config.tag_field is None else {config.tag_field: config.tag}
    return tag | {name: member for name, member in members.items() if member is not UNSET}
