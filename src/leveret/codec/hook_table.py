"""The hooks that hold in one annotation, as msgspec asks for them.

msgspec asks an encoder about each value that it does not know, and a decoder about each type. It
refuses unions of such a type with any but None, so here each of these becomes a type of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import msgspec

from leveret.annotations import Hook, hooks_of, without_metadata
from leveret.annotations.parts import with_parts
from leveret.codec.kindred import plain

__all__ = ["HookTable", "hook_table"]

_BYTES: Final = (bytes, bytearray, memoryview)
_EXACT: Final = frozenset({str, int, bool, bytes})
"""A value whose class is exactly one of these needs no look inside."""

Convert: TypeAlias = Callable[[Any, Any], Any]
"""From plain values and an annotation to values of that; raises `msgspec.ValidationError`."""


class HookTable:
    """Encodes and decodes the values in one annotation that have hooks."""

    def __init__(self, annotation: Any, hooks: dict[type, Hook[Any]]) -> None:
        self._hooks = hooks
        self._choices: dict[type, _Choice] = {}
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
        builtin_types = None if as_json else _BYTES

        def convert(found: Any, annotation: Any) -> Any:
            if type(found) is annotation and annotation in _EXACT:
                return found
            return msgspec.convert(
                found, annotation, builtin_types=builtin_types, str_keys=as_json, dec_hook=decode
            )

        def decode(cls: Any, found: Any) -> Any:
            cls = get_origin(cls) or cls
            try:
                converted = convert(found, self._wires[cls])
            except msgspec.ValidationError as error:
                raise ValueError(str(error)) from error  # to which msgspec adds where it is
            if cls in self._choices:
                return self._choices[cls].read(found, converted, convert)
            return self._hooks[cls].read(converted)

        return decode

    def _nearest(self, cls: type) -> Hook[Any] | None:
        return next((self._hooks[base] for base in cls.__mro__ if base in self._hooks), None)

    def _check(self, found: Any, annotation: Any) -> None:
        """Raise unless it fits, as strictly as MessagePack does."""
        builtins = msgspec.to_builtins(found, builtin_types=_BYTES, enc_hook=self.encode)
        decode = self.decoder(as_json=False)
        msgspec.convert(builtins, annotation, builtin_types=_BYTES, dec_hook=decode)

    def _readable(self, annotation: Any) -> Any:
        if get_origin(annotation) in {Union, UnionType}:
            members = [self._readable(member) for member in get_args(annotation)]
            of_members = [self._hooks.get(_class(member)) for member in members]
            hooks = [hook for hook in of_members if hook is not None]
            rest = [part for part, hook in zip(members, of_members, strict=True) if hook is None]
            if hooks and len([part for part in members if part is not NoneType]) > 1:
                return self._choice(hooks, rest)
        return with_parts(annotation, self._readable)

    def _choice(self, hooks: list[Hook[Any]], rest: list[Any]) -> type:
        name = " | ".join(map(_name, (*(hook.type for hook in hooks), *rest)))
        made: type = _AnyInstance(name, (), {})
        choice = _Choice(hooks, [self._readable(hook.wire) for hook in hooks], rest)
        self._choices[made] = choice
        self._wires[made] = choice.wire
        return made


class _AnyInstance(type):
    """The class of classes of which any value is an instance, as `msgspec` asks that."""

    def __instancecheck__(cls, value: object) -> bool:
        return True


class _Choice:
    """A union some of whose types have hooks: what travels tells which of them it is.

    :param wires: what travels for each of `hooks`.
    :param rest: the other types.
    """

    def __init__(self, hooks: list[Hook[Any]], wires: list[Any], rest: list[Any]) -> None:
        self.wire = reduce(_union, (*wires, *rest))
        """What travels, of which each kind of JSON is one type's."""
        self._read = [(wire, hook.read) for wire, hook in zip(wires, hooks, strict=True)]

    def read(self, found: Any, converted: Any, convert: Convert) -> Any:
        """Return the value for what travelled.

        :param converted: the same, as `wire` has it.
        """
        for wire, read in self._read:
            try:
                mine = convert(found, wire)
            except msgspec.ValidationError:
                continue
            return read(mine)
        return converted


def hook_table(annotation: Any) -> HookTable | None:
    """Return the hooks that hold in an annotation; None if there are none."""
    hooks = hooks_of(annotation)
    return HookTable(annotation, hooks) if hooks else None


def _union(left: Any, right: Any) -> Any:
    return Union[left, right]  # noqa: UP007 - made of what is not known here


def _class(annotation: Any) -> Any:
    bare = without_metadata(annotation)
    return get_origin(bare) or bare


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
