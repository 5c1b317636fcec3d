"""Whether what is declared again is what is there, in RabbitMQ's words where it isn't."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from leveret.broker.model.arguments import type_of
from leveret.broker.refusals import precondition

_DEFAULTS: Final = {"x-queue-type": "classic"}
"""What an argument is that is not given, where RabbitMQ knows that."""


def check_equal(name: str, what: str, received: bool | str, current: bool | str) -> None:
    """:raises Refused: if they differ."""
    if received != current:
        raise precondition(
            f"inequivalent arg '{name}' for {what}: received '{_plain(received)}'"
            f" but current is '{_plain(current)}'"
        )


def check_same_arguments(
    names: Iterable[str], what: str, received: dict[str, Any], current: dict[str, Any]
) -> None:
    """:raises Refused: if one of the arguments named differs."""
    for name in names:
        new, old = received.get(name, _DEFAULTS.get(name)), current.get(name, _DEFAULTS.get(name))
        if new == old and _sort(new) is _sort(old):
            continue
        described = _quoted if name in received and name in current else _described
        raise precondition(
            f"inequivalent arg '{name}' for {what}: received {described(received, name)}"
            f" but current is {described(current, name)}"
        )


def _sort(value: Any) -> type:
    """Where it matters besides the value: 1, 1.0 and true are three, 1 of whatever width is one."""
    return type(value) if isinstance(value, bool | float) else object


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(arguments: dict[str, Any], name: str) -> str:
    return "none" if arguments[name] is None else f"'{_plain(arguments[name])}'"


def _described(arguments: dict[str, Any], name: str) -> str:
    if name not in arguments:
        return "none"
    return f"the value '{_plain(arguments[name])}' of type '{type_of(arguments, name)}'"
