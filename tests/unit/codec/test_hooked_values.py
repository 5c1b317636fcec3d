"""Values of types with hooks: what one side encodes the other decodes, and nothing else passes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from itertools import count
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from msgspec import UNSET, Meta

from leveret.annotations import Hook, with_hooks
from leveret.codec import (
    DECODE_ERRORS,
    ENCODE_ERRORS,
    JSON,
    MSGPACK,
    RAW,
    TEXT,
    check_type,
    check_value,
    describe,
    fields_codec,
    method_codec,
)
from leveret.codec.special_types import special_type
from leveret.errors import ContractError

T = TypeVar("T")


class Money:
    def __init__(self, text: str) -> None:
        amount, self.currency = text.split(" ")
        self.amount = Decimal(amount)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Cash(Money):
    """A subclass travels as its base."""


class Blob:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


class Angle:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angle) and self.degrees == other.degrees

    def __hash__(self) -> int:
        return hash(self.degrees)


class Name(str):
    """Of a class that derives from one of Python's own."""

    __slots__ = ()


class Interval(Generic[T]):
    def __init__(self, low: T) -> None:
        self.low = low

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interval) and bool(self.low == other.low)

    def __hash__(self) -> int:
        return hash(self.low)


class Basket:
    def __init__(self, prices: list[Money]) -> None:
        self.prices = prices

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Basket) and self.prices == other.prices

    def __hash__(self) -> int:
        return hash(tuple(self.prices))


@dataclass
class Shape:
    """What a table of prices travels as."""

    by_year: dict[int, Decimal]
    since: date


class Table:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.shape == other.shape

    def __hash__(self) -> int:
        return 1


@dataclass
class Line:
    price: Money
    old: Money | None = None


class Page(msgspec.Struct, Generic[T]):
    items: list[T]
    totals: dict[Money, tuple[Money, ...]] = {}


class Pair(NamedTuple):
    left: Money
    right: Annotated[Money, Meta(description="the other")]


class Typed(TypedDict):
    price: Money


class Level(Enum):
    LOW = 1


class Row(msgspec.Struct, array_like=True):
    x: int


class Unknown:
    pass


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[str]:
        return iter(())


HOOKS: tuple[Hook[Any], ...] = (
    Hook(Money, Annotated[str, Meta(max_length=12)], encode=str, decode=Money),
    Hook(Blob, bytes, encode=lambda blob: blob.data, decode=Blob),
    Hook(Angle, float, encode=lambda angle: angle.degrees, decode=Angle),
    Hook(Name, str, encode=str.upper, decode=lambda text: Name(text.lower())),
    Hook(Interval, int, encode=lambda interval: interval.low, decode=Interval),
    Hook(Basket, list[Money], encode=lambda basket: basket.prices, decode=Basket),
    Hook(Table, Shape, encode=lambda table: table.shape, decode=Table),
)
CENTS = Hook(
    Money,
    int,
    encode=lambda money: int(money.amount * 100),
    decode=lambda found: Money(f"{Decimal(found) / 100} EUR"),
)


ONE, TWO = Money("1 EUR"), Money("2.50 EUR")
TABLE = Table(Shape({2024: Decimal("1.10")}, date(2024, 1, 2)))


def hooked(annotation: Any) -> Any:
    return with_hooks(annotation, HOOKS)


def codec_of(content_type: str, annotation: Any) -> Any:
    arguments = msgspec.defstruct(
        "Arguments",
        [("n", int), ("x", hooked(annotation)), ("y", hooked(annotation), UNSET)],
        forbid_unknown_fields=True,
    )
    return method_codec(content_type, arguments, hooked(annotation)), arguments


@pytest.fixture(params=[JSON, MSGPACK])
def content_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Money, ONE),
        (Annotated[Money, Meta(description="what it costs")], ONE),
        (list[Money], [ONE, TWO]),
        (Money | None, None),
        (set[Money], {ONE, TWO}),
        (dict[Money, Blob], {ONE: Blob(b"\x00\xff")}),
        (Line, Line(ONE)),
        (Page[Line], Page([Line(ONE, TWO)], {ONE: (ONE, TWO)})),
        (Page[Money | int], Page([ONE, 3])),
        (Pair, Pair(ONE, TWO)),
        (Typed, {"price": ONE}),
        (Angle, Angle(1.5)),
        (Name, Name("ann")),
        (list[Interval[int]], [Interval(3)]),
        (Basket, Basket([ONE, TWO])),
        (Table | None, TABLE),
        (list[Table], [TABLE]),
    ],
    ids=count(),
)
def test_values_arrive_as_they_were_sent(content_type: str, annotation: Any, value: Any) -> None:
    check_type(hooked(annotation))
    codec, arguments = codec_of(content_type, annotation)
    assert codec.decode_result(codec.encode_result(value)) == value
    sent = arguments(1, value)
    body = codec.encode_arguments(sent)
    assert b"y" not in body.replace(b"by_year", b"")
    assert codec.decode_arguments(body) == sent
    check_value(content_type, hooked(annotation), value)


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (Money | int | None, [ONE, 3, None]),
        (int | Blob | list[Money], [3, Blob(b"a"), [ONE]]),
        (Money | Angle | bool, [ONE, Angle(2.0), Angle(2), True]),
        (Annotated[Money | int, "a note"], [ONE, 3]),
        (list[Blob | float], [[Blob(b"a"), 1.5]]),
        (Table | Money, [TABLE, ONE]),
    ],
    ids=count(),
)
def test_what_travels_tells_the_types_of_a_union_apart(
    content_type: str, annotation: Any, values: list[Any]
) -> None:
    check_type(hooked(annotation))
    codec, _ = codec_of(content_type, annotation)
    for value in values:
        assert codec.decode_result(codec.encode_result(value)) == value


def test_a_subclass_travels_as_its_base(content_type: str) -> None:
    codec, _ = codec_of(content_type, list[Money])
    (found,) = codec.decode_result(codec.encode_result([Cash("1 EUR")]))
    assert type(found) is Money


@dataclass
class Either:
    price: Money | int


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Money | str, "Money and str both travel as a JSON text, so nothing tells them apart"),
        (Money | Blob | None, "Money and Blob both travel as a JSON text"),
        (Angle | int, "Angle and int both travel as a JSON number"),
        (Basket | set[int], "Basket and set.* both travel as a JSON array"),
        (Table | Line, "Table and Line both travel as a JSON object"),
        (Money | Literal["a", 3], "Money and .* both travel as a JSON text"),
        (Angle | Literal["a", 3], "Angle and .* both travel as a JSON number"),
        (Angle | Level, "Angle and Level both travel as a JSON number"),
        (Basket | Row, "Basket and Row both travel as a JSON array"),
        (Money | Annotated[str, "a note"], "Money and .* both travel as a JSON text"),
        (Either, "not in a field of a class: give the field a type of its own"),
        (dict[Angle, int], "keys may have a hook if they travel as `str`"),
        (dict[Money | int, int], "keys may have a hook if they travel as `str`"),
        (Decimal | Basket | Unknown, "Unknown"),
        (list[Unknown], r"Unknown cannot be encoded; .* types=\[leveret.Hook\(Unknown, str, "),
        (set[Unhashable], "a set's items must be hashable"),
    ],
    ids=count(),
)
def test_what_cannot_work_is_refused(annotation: Any, said: str) -> None:
    unhashable = Hook(Unhashable, list[str], encode=list, decode=lambda _: Unhashable())
    with pytest.raises(ContractError, match=said):
        check_type(with_hooks(annotation, (*HOOKS, unhashable)))


@pytest.mark.parametrize(
    ("annotation", "body", "said"),
    [
        (Money, b'"x"', r"Invalid `Money`: not enough values to unpack .* - at `\$\.x`$"),
        (Money, b"3", r"^Expected `str`, got `int` - at `\$\.x`$"),
        (Money, b'"111111111111 EUR"', r"length <= 12 - at `\$\.x`$"),
        (Page[Line], b'{"items":[{"price":"1 EUR"},{"price":"x"}]}', r"at `\$\.x\.items\[1\]\.pri"),
        (dict[Money, int], b'{"x":1}', r"Invalid `Money`: .* - at `key` in `\$\.x`$"),
        (Basket, b'["1 EUR",3]', r"^Expected `str`, got `int` - at `\$\.x\[1\]`$"),
        (list[Table], b'[{"by_year":{"a":1}}]', r"got `str` - at `key` in `\$\.x\[0\]\.by_year`$"),
        (Money | int, b"[]", r"Expected `int \| str`, got `array` - at `\$\.x`$"),
        (Line, b'{"price":"1 EUR","old":', r"^JSON is malformed: .* \(byte \d+\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    annotation: Any, body: bytes, said: str
) -> None:
    codec, _ = codec_of(JSON, annotation)
    with pytest.raises(DECODE_ERRORS, match=said):
        codec.decode_arguments(b'{"n":1,"x":' + body + b"}")


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (Money, 3, r"^Expected `str`, got `int`$"),
        (list[Money], [b"1 EUR"], r"^Expected `str`, got `bytes` - at `\$\[0\]`$"),
        (list[Blob], ["YWJj"], r"^Expected `bytes`, got `str` - at `\$\[0\]`$"),
        (list[Money], [Money("111111111111 EUR")], "the encode hook of `Money` gave what does"),
        (Blob, Blob("YWJj"), "the encode hook of `Blob` gave .*Expected `bytes`, got `str`"),  # type: ignore[arg-type]
        (Blob, Blob(None), "the encode hook of `Blob` gave .*Expected `bytes`, got `null`"),  # type: ignore[arg-type]
        (Basket, Basket([3]), r"`Basket` gave .*Expected `str`, got `int` - at `\$\[0\]`"),  # type: ignore[list-item]
        (Basket, Basket(3), "hook of `Basket` gave what does not fit: Expected `array`, got `int`"),  # type: ignore[arg-type]
        (Line, Line(ONE, TABLE), "Encoding objects of type .*Table is unsupported"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_not_sent(
    content_type: str, annotation: Any, value: Any, said: str
) -> None:
    codec, _ = codec_of(content_type, annotation)
    with pytest.raises(ENCODE_ERRORS, match=said):
        codec.encode_result(value)


def test_json_has_no_number_for_what_is_not_finite() -> None:
    codec, _ = codec_of(JSON, list[Angle | None])
    with pytest.raises(ENCODE_ERRORS, match=r"JSON cannot carry nan.* - at `\$\[0\]`"):
        codec.encode_result([Angle(math.nan)])
    codec, _ = codec_of(MSGPACK, Angle)
    assert math.isnan(codec.decode_result(codec.encode_result(Angle(math.nan))).degrees)


def test_the_next_parameter_may_have_another_hook_for_the_type(content_type: str) -> None:
    kind = msgspec.defstruct(
        "Arguments", [("one", hooked(Money)), ("other", Annotated[Money, CENTS]), ("n", int, 3)]
    )
    codec = method_codec(content_type, kind, None)
    body = bytes(codec.encode_arguments(kind(ONE, ONE)))
    decode = msgspec.json.decode if content_type == JSON else msgspec.msgpack.decode
    assert decode(body) == {"one": "1 EUR", "other": 100, "n": 3}
    assert codec.decode_arguments(body) == kind(ONE, ONE)


@dataclass
class Exact:
    """A class whose fields have hooks of their own."""

    price: Annotated[Money, CENTS]
    others: list[Annotated[Money, CENTS]]


def test_a_field_may_have_a_hook_of_its_own(content_type: str) -> None:
    value = Exact(ONE, [ONE])
    codec, arguments = codec_of(content_type, Exact | None)
    assert codec.decode_arguments(codec.encode_arguments(arguments(1, value))).x == value
    _, named = describe(hooked(Exact), "#/$defs/{name}")
    assert named["Exact"]["properties"]["price"] == {"type": "integer"}


def test_a_value_alone_is_text_or_raw_bytes() -> None:
    argument = msgspec.defstruct("Arguments", [("x", hooked(Money))])
    codec = method_codec(TEXT, argument, hooked(Money))
    assert codec.encode_arguments(argument(ONE)) == b"1 EUR"
    assert codec.decode_result(b"2.50 EUR") == TWO
    with pytest.raises(DECODE_ERRORS, match="Invalid `Money`: not enough values"):
        codec.decode_arguments(b"x")
    raw = method_codec(RAW, msgspec.defstruct("Arguments", [("x", hooked(Blob))]), None)
    assert raw.decode_arguments(b"\xff").x == Blob(b"\xff")  # type: ignore[attr-defined]
    with pytest.raises(ContractError, match="cannot carry its result"):
        method_codec(TEXT, argument, hooked(Money | None))
    with pytest.raises(ContractError, match="annotate it as bytes"):
        method_codec(RAW, argument, None)


def test_the_fields_of_an_error_travel_by_their_hooks() -> None:
    fields = msgspec.defstruct("Fields", [("price", hooked(Money)), ("left", int, 0)])
    codec = fields_codec(fields)
    assert codec.encode(fields(ONE)) == b'{"price":"1 EUR","left":0}'
    assert codec.decode(b'{"price":"1 EUR"}') == fields(ONE)


def test_the_schema_is_that_of_what_travels() -> None:
    text = {"type": "string", "maxLength": 12}
    assert describe(hooked(Money), "#/$defs/{name}") == (text, {})
    union, _ = describe(hooked(Money | int), "#/$defs/{name}")
    assert union == {"anyOf": [text, {"type": "integer"}]}
    schema, named = describe(hooked(list[Line | None] | Table), "#/$defs/{name}")
    assert schema["anyOf"][0] == {"$ref": "#/$defs/Shape"}
    assert named["Line"]["properties"]["price"] == text
    assert named["Shape"]["properties"]["since"] == {"type": "string", "format": "date"}
    arguments = msgspec.defstruct("Arguments", [("x", hooked(Basket)), ("n", int)])
    schema, named = describe(arguments, "#/$defs/{name}")
    assert named["Arguments"]["properties"]["x"] == {"type": "array", "items": text}
    assert named["Arguments"]["required"] == ["x", "n"]


def test_a_type_without_hooks_is_not_special() -> None:
    assert special_type(hooked(list[int])) is None
    unhashable = Annotated[int, Meta(examples=[1])]
    assert special_type(unhashable) is None
    assert special_type(hooked(Annotated[Money, Meta(examples=["1 EUR"])])) is not None
