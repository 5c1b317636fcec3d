"""What changed between two contracts, and whether it breaks those who have the old one. Pure.

Contracts are compared by their `service_schema`, so that a class, a file and the description of
servers can be compared with each other. Texts for people do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leveret.contract.changes import Change, Level
from leveret.contract.diff_bodies import diff_bodies
from leveret.contract.diff_options import diff_options
from leveret.errors import ContractError

__all__ = ["diff"]

_UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""The errors that reading an invalid description raises."""
_ORDER = tuple(Level)


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What changed between two descriptions of a service, the worst first.

    :raises ContractError: if one of them cannot be read.
    """
    try:
        found = list(_changes(old, new))
    except _UNREADABLE as error:
        raise ContractError(f"a description of a contract cannot be read: {error!r}") from error
    return sorted(found, key=lambda it: (_ORDER.index(it.level), it.method, it.rule, it.text))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    service, now = old["service"], new["service"]
    if service != now:
        text = f"it is called {now} now: calls of {service} find no server"
        yield Change(level=Level.BREAK, method=service, rule="service-renamed", text=text)
    had, has = old["methods"], new["methods"]
    for name in had.keys() - has.keys():
        text = "it is gone: its calls are Unimplemented, or wait for old servers"
        yield Change(
            level=Level.BREAK, method=f"{service}.{name}", rule="method-removed", text=text
        )
    for name in has.keys() - had.keys():
        yield Change(
            level=Level.FINE, method=f"{now}.{name}", rule="method-added", text="it is new"
        )
    for name in had.keys() & has.keys():
        key = f"{now}.{name}"
        yield from diff_bodies(key, had[name], has[name])
        yield from diff_options(key, had[name], has[name])
