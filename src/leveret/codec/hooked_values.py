"""Values of types with hooks, and of whatever has such types inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeVar

from leveret.codec.checked import Coder, checked, coder_and_proof
from leveret.codec.date_formats import schema_of
from leveret.codec.hook_table import HookTable, hook_table

__all__ = ["HookedType", "hooked_type"]

T = TypeVar("T")
S = TypeVar("S")

_PLACES: Final = re.compile(r"((?: - at (?:`key` in )?`\$[^`]*`)+)$")
"""Where msgspec says that a value is."""
_PLACE: Final = re.compile(r" - at (`key` in )?`\$([^`]*)`")


class HookedType:
    """Encodes, decodes and describes the values of one annotation in which hooks hold."""

    def __init__(self, annotation: Any, table: HookTable) -> None:
        self._annotation = annotation
        self._table = table

    def coder(self, content_type: str, path: str = "$") -> Coder:
        """Return the checking encoder and the decoder of one value.

        :param path: where it is in its body.
        """
        encode, decode, prove = coder_and_proof(content_type, self._annotation, self._table)
        return _located(checked(encode, prove), path), _located(decode, path)

    def schema(self, reference: str) -> dict[str, Any]:
        """Return its JSON Schema; the classes that it refers to are below `$defs`."""
        definitions: dict[str, Any] = {}

        def described(annotation: Any) -> dict[str, Any]:
            schema, found = schema_of(annotation, reference, of_class, known=self._table.encode)
            definitions.update(found)
            return schema

        def of_class(cls: type) -> dict[str, Any]:
            return described(self._table.wire(cls))

        schema = described(self._table.annotation)
        return {**schema, "$defs": definitions} if definitions else schema


def hooked_type(annotation: Any) -> HookedType | None:
    """Return what reads and writes values of this type; None if no hook holds in it.

    :raises TypeError: if two for one type do.
    """
    try:
        hash(annotation)
    except TypeError:
        return _hooked_type(annotation)
    return _kept(annotation)


def _hooked_type(annotation: Any) -> HookedType | None:
    table = hook_table(annotation)
    return None if table is None else HookedType(annotation, table)


_kept = lru_cache(1024)(_hooked_type)


def _located(function: Callable[[S], T], path: str) -> Callable[[S], T]:
    """Return the function, whose errors say where in the whole body a value is."""

    def located(given: S) -> T:
        try:
            return function(given)
        except ValueError as error:  # msgspec's is one, and that of a hook
            raise ValueError(_at(str(error), path)) from error

    return located


def _at(text: str, path: str) -> str:
    """Say a value's place once: msgspec says it from each of its bodies on, the innermost first."""
    found = _PLACES.search(text)
    if found is None:
        return text if path == "$" else f"{text} - at `{path}`"
    places = list(_PLACE.finditer(found[1]))
    where = path + "".join(place[2] for place in reversed(places))
    return f"{text[: found.start()]} - at {places[0][1] or ''}`{where}`"
