"""The hash of arguments: of values, not of the bytes that they travelled as."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from types import SimpleNamespace
from typing import Annotated, Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from msgspec import Struct

from leveret.codec import JSON, MSGPACK, ArgumentsHash, method_codec


def of(value: Any, kind: Any = Any) -> str:
    """The hash of arguments of which this is the only one."""
    parameters = msgspec.defstruct("parameters", [("value", kind)])
    return ArgumentsHash(parameters).of(parameters(value))


def of_text(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Colour(Enum):
    RED = "red"


class Point(Struct, tag="point", rename="camel"):
    at_x: int
    at_y: int = 0
    notes: list[str] = msgspec.field(default_factory=list)


@dataclass
class Line:
    length: float
    notes: list[str] = field(default_factory=list)
    wide: bool = False


class Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


class Area:
    """What a class of attrs looks like; attrs is not among the packages of the tests."""

    __attrs_attrs__ = (
        SimpleNamespace(name="size", default=Nothing()),
        SimpleNamespace(name="notes", default=SimpleNamespace(factory=list, takes_self=False)),
        SimpleNamespace(name="twice", default=SimpleNamespace(factory=len, takes_self=True)),
        SimpleNamespace(name="wide", default=False),
    )

    def __init__(self, size: int) -> None:
        self.size = self.twice = size
        self.notes: list[str] = []
        self.wide = False


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (30, "30"),
        (True, "true"),
        (None, "null"),
        (1.0, "1"),
        (-0.0, "0"),
        (1e20, "100000000000000000000"),
        (1.5, '"float:3ff8000000000000"'),
        (math.inf, '"float:7ff0000000000000"'),
        ('é"\\\n\x1f\x7f\ud800', '"é\\"\\\\\\n\\u001f\x7f\ud800"'),
        (b"\0\1", '"AAE="'),
        (Colour.RED, '"red"'),
        (Decimal("1.10"), '"1.10"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), '"2026-01-01T00:00:00Z"'),
        (datetime(1, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), '"0000-12-31T23:00:00Z"'),
        (
            datetime(9999, 12, 31, 23, 0, 0, 5, tzinfo=timezone(-timedelta(hours=2))),
            '"10000-01-01T01:00:00.000005Z"',
        ),
        (time(1, 2), '"01:02:00"'),
        ({"b": 1, "a": (1, 2)}, '{"a":[1,2],"b":1}'),
        ({2: "b", 1: "a"}, '{"1":"a","2":"b"}'),
        ({3, 1, 2}, "[1,2,3]"),
        (Point(at_x=1), '{"atX":1,"type":"point"}'),
        (Point(at_x=1, at_y=2, notes=["n"]), '{"atX":1,"atY":2,"notes":["n"],"type":"point"}'),
        (Line(2.0), '{"length":2}'),
        (Area(2), '{"size":2,"twice":2}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_has_one_text(value: Any, text: str) -> None:
    assert of(value) == of_text(f'{{"value":{text}}}')


class Parameters(Struct):
    when: datetime
    raw: bytes
    many: set[int]
    n: float = 1.0


def test_the_hash_is_the_same_however_the_arguments_travelled() -> None:
    hashes = ArgumentsHash(Parameters)
    arguments = Parameters(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), b"1", {2, 1})
    found = set()
    for content_type in (JSON, MSGPACK):
        codec = method_codec(content_type, Parameters, int)
        found.add(hashes.of(codec.decode_arguments(bytes(codec.encode_arguments(arguments)))))
    shuffled = b'{"many":[1,2],"n":1,"raw":"MQ==","when":"2025-12-31T22:00:00Z"}'
    found.add(hashes.of(method_codec(JSON, Parameters, int).decode_arguments(shuffled)))
    assert len(found) == 1


def test_a_new_parameter_with_a_default_changes_no_hash() -> None:
    class Before(Struct):
        a: int

    class After(Struct):
        a: int
        b: str = "new"

    assert ArgumentsHash(Before).of(Before(1)) == ArgumentsHash(After).of(After(1))
    assert ArgumentsHash(After).of(After(1, "old")) != ArgumentsHash(After).of(After(1))


def test_arrays_and_values_with_hooks_count_by_what_they_travel_as() -> None:
    one, same, other = np.arange(3), np.arange(3), np.arange(4)
    assert of(one, np.ndarray) == of(same, np.ndarray) != of(other, np.ndarray)


def test_what_cannot_be_compared_with_its_default_counts() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    class One(Struct):
        a: Any = Odd()

    with pytest.raises(TypeError):
        ArgumentsHash(One).of(One(Odd()))


def test_a_model_of_pydantic_counts_by_its_json() -> None:
    pydantic = pytest.importorskip("pydantic")
    model: Any = pydantic.create_model("Order", sku=(str, ...), when=(datetime, ...))
    order = model(sku="tea", when=datetime(2026, 1, 1, tzinfo=UTC))
    text = '{"value":{"sku":"tea","when":"2026-01-01T00:00:00Z"}}'
    assert of(order, Annotated[model, "as it is"]) == of_text(text)


PROGRAM = """
import msgspec
from typing import Annotated
from pydantic import BaseModel
from leveret import Hook
from leveret.codec import ArgumentsHash

class Name(str): ...

class Order(BaseModel):
    tags: set[str]
    parts: dict[str, frozenset[str] | None] = {}
    inner: list["Order"] = []

NAME = Hook(Name, str, encode=str, decode=Name)
Parameters = msgspec.defstruct(
    "Parameters", [("order", Order), ("names", list[frozenset[Annotated[Name, NAME]]])]
)
tags = {"a", "b", "c", "d", "e"}
order = Order(tags=tags, parts={"x": frozenset(tags)}, inner=[Order(tags=tags)])
print(ArgumentsHash(Parameters).of(Parameters(order, [frozenset(map(Name, tags))])))
"""


def test_sets_of_other_types_have_one_hash_in_all_processes() -> None:
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(hashes) == 1
