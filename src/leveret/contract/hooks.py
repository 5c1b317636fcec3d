"""Checks the hooks of a service: each must have an effect, and give values that can travel."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, get_origin

from leveret.annotations import Hook, hooks_of, idle_hooks, merged, of_pydantic, with_hooks
from leveret.codec import buffered_in, check_type, is_known, may_be_none
from leveret.errors import ContractError

__all__ = ["check_hooks_in", "hooks_option"]


def hooks_option(given: Any, inherited: Iterable[Hook[Any]], where: str) -> tuple[Hook[Any], ...]:
    """Return the hooks of a service: those of `types=[...]` and those of its bases.

    :raises ContractError: for a hook that cannot work, and for two hooks of one type.
    """
    if isinstance(given, Hook | str) or not isinstance(given, Iterable):
        raise ContractError(f"{where}: types is {given!r}; write a list, `types=[Hook(...)]`")
    own = tuple(given)
    for hook in own:
        if not isinstance(hook, Hook):
            raise ContractError(
                f"{where}: types has {hook!r}, which is not a leveret.Hook; write Hook(Money, str, "
                "encode=..., decode=...)"
            )
    try:
        found = tuple(merged((*inherited, *own)).values())
        for hook in own:
            _check(hook, found)
    except TypeError as error:
        raise ContractError(f"{where}: {error}") from error
    return found


def check_hooks_in(annotation: Any) -> None:
    """Check the hooks in an annotation.

    :raises TypeError: for a hook that cannot work, or has no value of its type there.
    """
    for hook in hooks_of(annotation).values():
        _check(hook, ())
    for hook in idle_hooks(annotation):
        raise TypeError(
            f"{hook!r} would have no effect: there is no {hook.type.__qualname__} in its annotation"
        )


def _check(hook: Hook[Any], others: Iterable[Hook[Any]]) -> None:
    cls: Any = hook.type
    if not isinstance(cls, type) or get_origin(cls) is not None:
        raise TypeError(f"{hook!r}: its type is {cls!r}; give a class")
    if cls is object:
        raise TypeError(f"{hook!r}: every value is an object; give a class of your own")
    if is_known(cls):
        raise TypeError(
            f"{hook!r} would have no effect: {cls.__qualname__} travels without a hook; drop it, "
            "or derive a class that gets the hook"
        )
    for name in ("encode", "decode"):
        function = getattr(hook, name)
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise TypeError(f"{hook!r}: its {name} is {function!r}; give a plain function")
    _check_wire(hook, with_hooks(hook.wire, others))


def _check_wire(hook: Hook[Any], wire: Any) -> None:
    """:raises TypeError: if what a hook gives cannot travel."""
    if of_pydantic(wire):
        raise TypeError(f"{hook!r}: what it gives is pydantic's; give a dataclass or a Struct")
    if buffered_in(wire):
        raise TypeError(f"{hook!r}: what it gives has arrays or tables inside; give bytes")
    if hook.type in hooks_of(wire):
        name = hook.type.__qualname__
        raise TypeError(f"{hook!r}: what it gives has {name} inside, without an end")
    try:
        check_type(wire)
    except TypeError as error:
        raise TypeError(f"{hook!r}: what it gives cannot travel: {error}") from error
    if may_be_none(wire):
        raise TypeError(f"{hook!r}: what it gives may be None, which no type has as a value")
