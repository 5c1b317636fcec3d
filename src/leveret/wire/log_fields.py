"""How logs name a call: in the text of a line, and as fields of its record.

The fields are for logs that machines read: `logging` takes them as `extra=`, and `leveret serve
--log-format json` writes them beside the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

__all__ = [
    "NamedCall",
    "fields_of",
    "fields_of_method",
    "printable",
    "shown",
    "shown_all",
]

_NAMED: Final = 5
"""How many of several calls a line names."""


class NamedCall(Protocol):
    """What the log needs of a call."""

    @property
    def id(self) -> str:
        """The call id, "" if it has none. Anybody may have chosen it."""
        ...

    @property
    def method(self) -> str:
        """The method, as "service.method"."""
        ...


def shown(call: NamedCall) -> str:
    """A call in a line of the log: `shop.order (call 4mJ0cVq3uTgA1rXk)`."""
    return f"{call.method} (call {printable(call.id)})" if call.id else call.method


def shown_all(calls: Sequence[NamedCall]) -> str:
    """Some calls in a line of the log, the first ones by name."""
    names = [shown(call) for call in calls[:_NAMED]]
    more = len(calls) - _NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """What a stranger chose, without line breaks and control characters."""
    return text if text.isprintable() else repr(text)


def fields_of(call: NamedCall) -> Mapping[str, object]:
    """What names a call in the record of a line."""
    return {"call_id": call.id, **fields_of_method(call.method)}


def fields_of_method(method: str) -> Mapping[str, object]:
    """What names a method in the record of a line that is about no call, or about several."""
    service, _, _ = method.rpartition(".")
    return {"method": method, "service": service}
