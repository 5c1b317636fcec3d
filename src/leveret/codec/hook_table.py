"""The hooks that hold in one annotation, as msgspec asks for them.

msgspec asks an encoder about each value that it does not know, and a decoder about each type. It
refuses unions of such a type with any but None, so here each of these becomes one type
(`hooked_unions.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from leveret.annotations import Hook, hooks_of, without_metadata
from leveret.annotations.parts import with_parts
from leveret.codec.hooked_unions import Convert, HookedUnion
from leveret.codec.kindred import plain

__all__ = ["BYTES", "HookTable", "hook_table"]

BYTES: Final = (bytes, bytearray, memoryview)
"""What MessagePack has beside what JSON has."""
_EXACT: Final = frozenset({str, int, bool, bytes})
"""A value whose class is exactly one of these needs no look inside."""


class HookTable:
    """Encodes and decodes the values in one annotation that have hooks."""

    def __init__(self, annotation: Any, hooks: dict[type, Hook[Any]]) -> None:
        self._hooks = hooks
        self._unions: dict[type, HookedUnion] = {}
        self._wires: dict[type, Any] = {}
        self._hook_of: Callable[[type], Hook[Any] | None] = lru_cache(256)(self._nearest)
        self.annotation = self._readable(annotation)
        """The annotation as msgspec can read it."""
        for cls, hook in hooks.items():
            self._wires[cls] = self._readable(hook.wire)

    def wire(self, cls: type) -> Any:
        """Return the annotation of what travels for a type; None if the type has no hook."""
        return self._wires.get(cls)

    def encode(self, value: Any) -> Any:
        """Return what travels for a value: what its hook gives, or what it means without one.

        :raises Exception: if there is nothing, or it does not fit.
        """
        hook = self._hook_of(type(value))
        if hook is None:
            return plain(value)
        found, wire = hook.write(value), hook.wire
        if type(found) is not wire or wire not in _EXACT:
            try:
                self._check(found, self._wires[hook.type])
            except Exception as error:
                raise ValueError(
                    f"the encode hook of `{hook.type.__qualname__}` gave what does not fit: {error}"
                ) from error
        return found

    def decoder(self, *, as_json: bool) -> Convert:
        """Return what gives the value of a type for what travelled.

        :param as_json: whether bytes, and the keys of dicts, are text.
        """
        builtin_types = None if as_json else BYTES

        def convert(found: Any, annotation: Any) -> Any:
            if type(found) is annotation and annotation in _EXACT:
                return found
            return msgspec.convert(
                found, annotation, builtin_types=builtin_types, str_keys=as_json, dec_hook=decode
            )

        def decode(cls: Any, found: Any) -> Any:
            if cls not in self._wires:
                cls = get_origin(cls)
            try:
                converted = convert(found, self._wires[cls])
            except msgspec.ValidationError as error:
                raise ValueError(str(error)) from error  # to which msgspec adds where it is
            if cls in self._unions:
                return self._unions[cls].read(found, converted, convert)
            return self._hooks[cls].read(converted)

        return decode

    def _nearest(self, cls: type) -> Hook[Any] | None:
        return next((self._hooks[base] for base in cls.__mro__ if base in self._hooks), None)

    def _check(self, found: Any, annotation: Any) -> None:
        """Raise unless it fits, as strictly as MessagePack does."""
        builtins = msgspec.to_builtins(found, builtin_types=BYTES, enc_hook=self.encode)
        decode = self.decoder(as_json=False)
        msgspec.convert(builtins, annotation, builtin_types=BYTES, dec_hook=decode)

    def _readable(self, annotation: Any) -> Any:
        if get_origin(annotation) in {Union, UnionType}:
            members = [self._readable(member) for member in get_args(annotation)]
            of_members = [self._hooks.get(_class(member)) for member in members]
            hooks = [hook for hook in of_members if hook is not None]
            rest = [part for part, hook in zip(members, of_members, strict=True) if hook is None]
            if hooks and len([part for part in members if part is not NoneType]) > 1:
                return self._union(hooks, rest)
        return with_parts(annotation, self._readable)

    def _union(self, hooks: list[Hook[Any]], rest: list[Any]) -> type:
        made = HookedUnion([(hook, self._readable(hook.wire)) for hook in hooks], rest)
        self._unions[made.cls] = made
        self._wires[made.cls] = made.wire
        return made.cls


def hook_table(annotation: Any) -> HookTable | None:
    """Return the hooks that hold in an annotation; None if there are none."""
    hooks = hooks_of(annotation)
    return HookTable(annotation, hooks) if hooks else None


def _class(annotation: Any) -> Any:
    bare = without_metadata(annotation)
    return get_origin(bare) or bare
