"""Whether the values that one side sends are those that the other takes, by JSON Schema. Pure.

Two stages of a pipe may belong to services that know nothing of each other. Their classes may have
the same name and different fields, or different names and the same fields. So their schemas are
compared. There are two questions. For a pipe: is it certain that no value fits (`misfit`)? Bounds,
patterns and sizes are left to the server, which sees the value. For two versions of a contract:
does every value fit (`misfits`)? Then bounds count, and so do members that may be absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

import msgspec

from leveret.contract.bounds import beyond
from leveret.contract.typed_schema import ANYTHING, FORMS, Schema, Typed

__all__ = ["Misfit", "Why", "misfit", "misfits"]

_DEEPEST: Final = 32
"""How deep nested types are followed."""


class Why(StrEnum):
    """The kind of a misfit."""

    NEVER = "never"
    """No given value fits, or one of the given alternatives does not."""
    WIDER = "wider"
    """Some of the given values do not fit."""
    ABSENT = "absent"
    """A required member may be left out."""
    UNREAD = "unread"
    """A member is given that nobody reads; it still fits."""


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """Why a value may not fit."""

    why: Why
    """Its kind."""
    text: str
    """The place, as a path from `$`, and what is wrong there."""


def misfit(given: Schema, taken: Schema) -> str:
    """Why a value of one schema can never be a value of another; "" if it can.

    :param given: the schema of the values that are sent, with its definitions.
    :param taken: the schema of the values that are taken, with its definitions.
    """
    found = _Fitting(exact=False).misfits(Typed(given, given), Typed(taken, taken), "$", 0)
    return next((one.text for one in found), "")


def misfits(given: Typed, taken: Typed) -> list[Misfit]:
    """Why not every value of one schema is a value of another; empty if each is."""
    return list(dict.fromkeys(_Fitting(exact=True).misfits(given, taken, "$", 0)))


class _Fitting:
    """Compares two schemas.

    :param exact: whether every value must fit, or only some value.
    """

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._known: dict[tuple[int, int], list[Misfit]] = {}
        """The result for two schemas, by identity; none while they are looked at, as in a type
        that refers to itself."""

    def misfits(self, given: Typed, taken: Typed, where: str, depth: int) -> Iterator[Misfit]:
        """Yield why values of one type may not be values of the other."""
        if depth > _DEEPEST:
            return
        takes = taken.alternatives()
        for one in given.alternatives():
            reasons = [self._of_two(one, other, where, depth) for other in takes]
            fits = [all(reason.why is Why.UNREAD for reason in found) for found in reasons]
            if any(fits):
                yield from reasons[fits.index(True)]
            elif len(reasons) == 1:
                yield from reasons[0]
            elif (kindred := _kindred(one, takes)) is not None:
                yield from reasons[kindred]
            else:
                yield Misfit(why=Why.NEVER, text=f"{_named(one, where)} is none of them")

    def _of_two(self, given: Typed, taken: Typed, where: str, depth: int) -> list[Misfit]:
        """The same for schemas without alternatives, each two of which are looked at once."""
        which = id(given.schema), id(taken.schema)
        found = self._known.get(which)
        if found is None:
            self._known[which] = []
            found = self._known[which] = list(self._of_one(given, taken, where, depth))
        return found

    def _of_one(self, given: Typed, taken: Typed, where: str, depth: int) -> Iterator[Misfit]:
        one, other = given.schema, taken.schema
        never = f"{_named(given, where)} is not {taken.in_words()}"
        buffers = one.get("x-leveret-buffer"), other.get("x-leveret-buffer")
        if any(buffers) and (self._exact or given.types() != ANYTHING):
            if not self._same_buffer(*buffers):
                yield Misfit(why=Why.NEVER, text=never)
        elif given.types() == ANYTHING or taken.types() >= ANYTHING:
            if self._exact and not taken.types() >= ANYTHING:
                text = f"{_named(given, where)} may be other than {taken.in_words()}"
                yield Misfit(why=Why.WIDER, text=text)
        elif not _same_kind(given, taken):
            yield Misfit(why=Why.NEVER, text=never)
        elif (unlisted := self._unlisted(given, taken)) is not None:
            yield Misfit(why=Why.WIDER, text=f"{_named(given, where)} {unlisted}")
        else:
            for text in beyond(one, other) if self._exact else ():
                yield Misfit(why=Why.WIDER, text=f"{where} may {text}")
            yield from self._inside(given, taken, where, depth)

    def _unlisted(self, given: Typed, taken: Typed) -> str | None:
        """The misfits between listed values."""
        allowed, values = taken.values(), given.values()
        if allowed is None:
            return None
        if values is None:
            return f"may be none of {allowed}" if self._exact else None
        new = [value for value in values if value not in allowed]
        if not new:
            return None
        return f"may be {', '.join(map(repr, new))}" if self._exact else f"may be none of {allowed}"

    def _same_buffer(self, one: Schema | None, other: Schema | None) -> bool:
        if one is None or other is None or one.get("kind") != other.get("kind"):
            return False
        types, allowed = one.get("dtype"), other.get("dtype")
        if self._exact:
            return not allowed or (bool(types) and set(types or ()) <= set(allowed))
        return not types or not allowed or bool(set(types) & set(allowed))

    def _inside(self, given: Typed, taken: Typed, where: str, depth: int) -> Iterator[Misfit]:
        one, other = given.schema, taken.schema
        if "array" in given.types():
            for mine, theirs in self._items(one, other):
                inside = given.part(mine), taken.part(theirs)
                yield from self.misfits(*inside, f"{where}[...]", depth + 1)
        properties, wanted = given.parts("properties"), taken.parts("properties")
        if "properties" in one and "properties" in other:
            yield from self._members(given, taken, where, depth)
        elif isinstance(other.get("additionalProperties"), dict):
            values = taken.part(other["additionalProperties"])
            if isinstance(one.get("additionalProperties"), dict):
                inside = given.part(one["additionalProperties"]), values
                yield from self.misfits(*inside, f"{where}[...]", depth + 1)
            for name, member in properties.items() if self._exact else ():
                yield from self.misfits(member, values, f"{where}.{name}", depth + 1)
        elif self._exact and wanted and "object" in given.types():
            for name in taken.required():
                yield Misfit(why=Why.ABSENT, text=f"{where} may lack {name!r}")

    def _items(self, one: Schema, other: Schema) -> Iterator[tuple[Any, Any]]:
        """The schemas of items in the same place."""
        first, second = one.get("prefixItems", ()), other.get("prefixItems", ())
        yield from zip(first, second, strict=False)
        rest, others = one.get("items"), other.get("items")
        if isinstance(rest, dict) and isinstance(others, dict):
            yield rest, others
        if self._exact and isinstance(others, dict):
            yield from ((item, others) for item in first[len(second) :])
        if self._exact and isinstance(rest, dict):
            yield from ((rest, item) for item in second[len(first) :])

    def _members(self, given: Typed, taken: Typed, where: str, depth: int) -> Iterator[Misfit]:
        properties, wanted = given.parts("properties"), taken.parts("properties")
        there = set(given.required())
        for name in taken.required():
            if name not in properties:
                yield Misfit(why=Why.NEVER, text=f"{where} has no {name!r}")
            elif self._exact and name not in there:
                yield Misfit(why=Why.ABSENT, text=f"{where} may lack {name!r}")
        for name, member in properties.items():
            if name in wanted:
                yield from self.misfits(member, wanted[name], f"{where}.{name}", depth + 1)
            elif taken.schema.get("additionalProperties") is False:
                text = f"{where} may have {name!r}, which is not known there"
                yield Misfit(why=Why.NEVER, text=text)
            elif self._exact and not taken.schema.get("additionalProperties"):
                yield Misfit(why=Why.UNREAD, text=f"{where} has {name!r}, which nobody reads")


def _same_kind(given: Typed, taken: Typed) -> bool:
    """Whether the JSON types are accepted, and text has the same format."""
    gives, takes = given.types(), taken.types()
    if "number" in takes:
        takes |= {"integer"}
    forms_differ = any(given.schema.get(form) != taken.schema.get(form) for form in FORMS)
    return gives <= takes and not ("string" in gives and forms_differ)


def _kindred(one: Typed, others: list[Typed]) -> int | None:
    """The alternative that corresponds to another one, if there is one.

    It is the only one with the same JSON types; of several, the one with the same tag or title.
    """
    alike = [at for at, other in enumerate(others) if one.types() & other.types()]
    for marks in (_tags, _title):
        if len(alike) > 1:
            mine = marks(one)
            alike = [at for at in alike if mine & marks(others[at])] or alike
    return alike[0] if len(alike) == 1 else None


def _tags(typed: Typed) -> set[tuple[str, str]]:
    """The members of an object that have a single value, with that value."""
    members = typed.parts("properties").items()
    listed = ((name, member.values() or ()) for name, member in members)
    return {(name, repr(values[0])) for name, values in listed if len(values) == 1}


def _title(typed: Typed) -> set[str]:
    return {str(typed.schema["title"])} if "title" in typed.schema else set()


def _named(typed: Typed, where: str) -> str:
    words = typed.in_words()
    return words if where == "$" else f"{where}, {words},"
