"""Services as TypeScript: the types of JSON, and what a client has to know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import pytest
from msgspec import UNSET, Struct, UnsetType

from leveret import ContractError, DeclaredError, Meta, Service, method, service_schema
from leveret.documents.typescript import typescript
from leveret.documents.typescript_types import comment, type_of


class Colour(Enum):
    """What a thing may look like."""

    RED = "red"
    BLUE = "blue"


class Part(Struct):
    """A part.

    Parts have parts.
    """

    name: Annotated[str, Meta(description="A name */ that ends no comment.")]
    parts: list[Part] = []
    colour: Colour | None = None
    weight: float | UnsetType = UNSET


@dataclass
class Pair:
    """Two of a kind."""

    first: tuple[int, str]
    rest: dict[str, list[bytes]]


class Odd(TypedDict, total=False):
    """None of it must be there."""

    plain: int


class Broken(DeclaredError):
    """It is broken."""

    part: Part


class Worn(DeclaredError):
    """It is worn."""


class Workshop(Service):
    """Makes things."""

    @method(timeout=1.5, idempotent=True, raises=[Broken, Worn])
    async def build(
        self, part: Part, when: datetime, *, times: int = 1, mode: Literal["fast", "good"] = "good"
    ) -> Pair | None:
        """Build it."""
        raise NotImplementedError

    @method(once=True)
    async def clear(self) -> None:
        raise NotImplementedError

    @method
    async def odd(self, of: Odd, anything: Any) -> list[int | str]:
        raise NotImplementedError

    @method
    async def watch(self) -> AsyncIterator[int]:
        yield 1

    @method(one_way=True)
    async def note(self, text: str) -> None:
        raise NotImplementedError


def test_a_service_is_an_interface_and_a_table_of_facts() -> None:
    text = typescript([service_schema(Workshop)])
    assert (
        text
        == """\
// Made by `leveret schema --typescript`, of: workshop.
import { DeclaredError, type CallOptions, type Contract } from "./leveret.ts";

/** What a thing may look like. */
export type Colour = "blue" | "red";

/** None of it must be there. */
export interface Odd {
  plain?: number;
}

/** Two of a kind. */
export interface Pair {
  first: [number, string];
  rest: Record<string, string[]>;
}

/**
 * A part.
 *
 * Parts have parts.
 */
export interface Part {
  /** A name *\\/ that ends no comment. */
  name: string;
  parts?: Part[];
  colour?: Colour | null;
  weight?: number;
}

/** It is broken. */
export class Broken extends DeclaredError<{ part: Part }> {}

/** It is worn. */
export class Worn extends DeclaredError<Record<string, never>> {}

// Left out, as they stream or have no reply: watch, note.
/** Makes things. */
export interface Workshop {
  /** Build it. */
  build(args: { part: Part; when: string; times?: number; mode?: "fast" | "good" }, \
options?: CallOptions): Promise<Pair | null>;
  clear(args?: Record<string, never>, options?: CallOptions): Promise<void>;
  odd(args: { of: Odd; anything: unknown }, options?: CallOptions): Promise<(number | string)[]>;
}

export const workshop: Contract<Workshop> = {
  service: "workshop",
  methods: {
    build: { timeout: 1.5, idempotent: true, errors: { BROKEN: Broken, WORN: Worn } },
    clear: { timeout: 10, once: true },
    odd: { timeout: 10 },
  },
};
"""
    )


def test_a_name_that_is_taken_gets_a_number() -> None:
    described = service_schema(Workshop)
    other = {**described, "service": "part"}
    text = typescript([described, other])
    assert "export interface Part {" in text
    assert "export interface Part_2 {\n  /** Build it. */" in text
    assert "export const part: Contract<Part_2>" in text
    assert text.count("extends DeclaredError") == 2


def test_names_from_a_server_get_no_line_of_their_own() -> None:
    """Anybody may answer with a description."""
    method = {"arguments": {"properties": {"a b": {}}}, "result": {}, "streams": True}
    taken = {**method, "streams": False}
    told = {"service": "x\\nalert()", "methods": {"a\\n;": method, "b\\n;": taken}}
    text = typescript(
        [{**told, "service": "x\nalert()", "methods": {"a\n;": method, "b\n;": taken}}]
    )
    assert "of: x alert()." in text
    assert "no reply: a ;." in text
    assert '"b\\n;"(args?: { "a b"?: unknown }' in text
    assert 'service: "x\\nalert()"' in text
    assert "export const x_alert__: " in text


def test_a_description_that_is_none_is_refused() -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        typescript([{"service": "x"}])


def test_what_a_schema_does_not_say_is_unknown() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    assert type_of(deep).startswith("unknown[]")
    silent: list[object] = [True, {}, {"type": "odd"}, {"anyOf": []}]
    assert [type_of(it) for it in silent] == ["unknown"] * 4
    assert type_of({"type": ["string", "null"]}) == "string | null"
    assert type_of({"const": "a"}) == '"a"'
    assert type_of(
        {"allOf": [{"anyOf": [{"type": "null"}, {"type": "string"}]}, {"const": 1}]}
    ) == ("(null | string) & 1")
    assert comment("") == []
