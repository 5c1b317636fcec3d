"""Values that are not of Python's own types, but of others that mean the same.

A numpy scalar is a number, a `pandas.Timestamp` is a datetime: where the annotation says so, they
travel as what they mean. Encoders ask this file about what they do not know, so values of Python's
own types never come by here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from leveret.codec.buffered_types import kind_of
from leveret.codec.content_type import BUFFERS

__all__ = ["as_known", "plain"]

_OWN: Final = frozenset(
    {bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta}
)


def plain(value: Any) -> Any:
    """Return what a value means, as a value that encoders know.

    :raises TypeError: if it means nothing of that kind, or more than that can hold.
    """
    found = value
    nanoseconds = getattr(value, "nanosecond", getattr(value, "nanoseconds", 0))
    if isinstance(nanoseconds, int) and nanoseconds:
        raise TypeError(f"{value!r} has nanoseconds, which Python's times have not; round it first")
    for base, as_base in _AS_BASE.items():
        if isinstance(value, base):
            try:
                return as_base(value)
            except (TypeError, ValueError, OverflowError) as error:  # as NaT, which is no time
                raise TypeError(f"{value!r} is no {base.__name__}: {error}") from error
    if type(value).__module__ == "numpy" and not hasattr(value, "__len__"):
        found = _item(value)
    if type(found) not in _OWN:
        raise TypeError(f"Encoding objects of type {_name(value)} is unsupported{_advice(value)}")
    return found


def as_known(value: Any) -> Any:
    """Return what a value means, or itself."""
    if type(value) in _OWN:
        return value
    try:
        return plain(value)
    except TypeError:
        return value


def _item(scalar: Any) -> Any:
    """Return a numpy scalar as Python's; None where it is a time that Python's cannot be."""
    found = scalar.item()
    kind = scalar.dtype.kind
    if kind not in "mM" or not isinstance(found, int):
        return found
    if not scalar.dtype.str.endswith("[ns]"):
        return None
    if found % 1000:
        raise TypeError(
            f"{scalar!r} has nanoseconds, which Python's times have not; round it first"
        )
    return scalar.astype(f"{kind}8[us]").item()  # of nanoseconds numpy gives the mere integer


def _datetime(value: datetime) -> datetime:
    return datetime(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        fold=value.fold,
    )


def _advice(value: object) -> str:
    """What to do with an array or a table, where it is one."""
    if kind_of(type(value)) is None:
        return ""
    return f"; give a list. A call by name carries it with_options(content_type={BUFFERS!r})"


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


# What is a subclass of one of these is that, whatever else it is. A datetime is a date as well.
_AS_BASE: Final[dict[type, Callable[[Any], Any]]] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes.join(b"", [value]),
    datetime: _datetime,
    date: lambda value: date(value.year, value.month, value.day),
    timedelta: lambda value: timedelta(value.days, value.seconds, value.microseconds),
}
