"""Checks that what is declared again is the same, in RabbitMQ's words where it is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from leveret.broker.model.arguments import type_of
from leveret.broker.refusals import precondition

_DEFAULTS: Final = {"x-queue-type": "classic"}
"""What RabbitMQ takes an argument to be that is not given."""


def check_equal(name: str, what: str, received: bool | str, current: bool | str) -> None:
    """Check one property.

    :raises Refused: if the two values differ.
    """
    if received != current:
        raise precondition(
            f"inequivalent arg '{name}' for {what}: received '{_plain(received)}'"
            f" but current is '{_plain(current)}'"
        )


def check_same_arguments(
    names: Iterable[str], what: str, received: dict[str, Any], current: dict[str, Any]
) -> None:
    """Check the arguments of these names.

    :raises Refused: if one of them differs.
    """
    for name in names:
        new, old = received.get(name, _DEFAULTS.get(name)), current.get(name, _DEFAULTS.get(name))
        if new == old and _strictness(new) is _strictness(old):
            continue
        described = _quoted if name in received and name in current else _described
        raise precondition(
            f"inequivalent arg '{name}' for {what}: received {described(received, name)}"
            f" but current is {described(current, name)}"
        )


def _strictness(value: Any) -> type:
    """What matters besides the value: 1, 1.0 and true differ; the width of a number is nothing."""
    return type(value) if isinstance(value, bool | float) else object


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(arguments: dict[str, Any], name: str) -> str:
    return "none" if arguments[name] is None else f"'{_plain(arguments[name])}'"


def _described(arguments: dict[str, Any], name: str) -> str:
    if name not in arguments:
        return "none"
    return f"the value '{_plain(arguments[name])}' of type '{type_of(arguments, name)}'"
