"""Compares the options in two descriptions of a method. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from leveret.contract.changes import Change, Level

__all__ = ["diff_options"]


class _Lost(NamedTuple):
    """The consequence of an option that was switched off, and of one that was switched on."""

    option: str
    lost: Level
    lost_text: str
    gained: Level
    gained_text: str


_SWITCHES: Final = (
    # Clients of the old contract repeat a call after a crash, and nothing tells them not to.
    _Lost(
        "idempotent",
        Level.BREAK,
        "it is not idempotent any more: clients still repeat its calls after a crash, and the"
        " effect happens twice",
        Level.FINE,
        "it is idempotent now",
    ),
    # Only a server whose method has keys records a call that has none of its caller's.
    _Lost(
        "once",
        Level.BREAK,
        "its calls have no keys any more: clients still send them again, and the effect happens"
        " twice",
        Level.FINE,
        "each of its calls has a key now",
    ),
    _Lost(
        "one_way",
        Level.BREAK,
        "it was one-way and is answered now: clients go on without its result and its errors",
        Level.BREAK,
        "it is one-way now: clients with the new class hear neither result nor error",
    ),
    _Lost(
        "streams",
        Level.BREAK,
        "it streamed its results and gives one now: clients wait for items",
        Level.BREAK,
        "it streams its results now: clients wait for one",
    ),
    _Lost(
        "resume",
        Level.BREAK,
        "its streams do not resume any more: clients still call it again where a stream broke, and"
        " it begins anew",
        Level.FINE,
        "its streams resume now",
    ),
    _Lost(
        "keep_failed",
        Level.WARNING,
        "its failed one-way requests are not kept any more",
        Level.FINE,
        "its failed one-way requests are kept now",
    ),
)
_QUEUE: Final[Mapping[str, Any]] = {
    "queue_type": "classic",
    "max_length": None,
    "expires": None,
    "priority_levels": 0,
}
"""The arguments of a queue, with their defaults in a description."""


def diff_options(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """What changed in a method's options.

    :param key: "service.method".
    :param old: the method's entry in `service_schema`.
    :param new: its new entry.
    """
    for it in _SWITCHES:
        had, has = bool(old.get(it.option)), bool(new.get(it.option))
        if had and not has:
            yield Change(
                level=it.lost, method=key, rule=f"{_rule(it.option)}-lost", text=it.lost_text
            )
        elif has and not had:
            yield Change(
                level=it.gained, method=key, rule=f"{_rule(it.option)}-gained", text=it.gained_text
            )
    for find in (_timeout, _content_type, _queue):
        yield from find(key, old.get, new.get)


def _rule(option: str) -> str:
    return option.replace("_", "-")


def _timeout(key: str, old: Callable[[str], Any], new: Callable[[str], Any]) -> Iterator[Change]:
    had, has = old("timeout"), new("timeout")
    if has == had or has is None or had is None:
        return
    level, rule = (Level.WARNING, "timeout-shrunk") if has < had else (Level.FINE, "timeout-grown")
    text = f"its timeout was {had:g} s and is {has:g} s, for callers that have the new class"
    yield Change(level=level, method=key, rule=rule, text=text)


def _content_type(
    key: str, old: Callable[[str], Any], new: Callable[[str], Any]
) -> Iterator[Change]:
    had, has = old("content_type"), new("content_type")
    if had != has:
        text = (
            f"its bodies were {had} and are {has}: servers take both only where the types allow it"
        )
        yield Change(level=Level.WARNING, method=key, rule="content-type-changed", text=text)


def _queue(key: str, old: Callable[[str], Any], new: Callable[[str], Any]) -> Iterator[Change]:
    for option, default in _QUEUE.items():
        had, has = (default if get(option) is None else get(option) for get in (old, new))
        if had != has:
            text = (
                f"{option} of its queue was {had} and is {has}: servers cannot start"
                " (TopologyError) before the queue is deleted"
            )
            yield Change(level=Level.BREAK, method=key, rule="queue-changed", text=text)
