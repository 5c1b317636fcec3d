"""Types that are hard on a decoder, and errors that a contract declares with them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec

from leveret import DeclaredError, Meta
from leveret.codec import CONTENT_TYPES, MethodCodec, method_codec
from leveret.errors import ContractError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"

    @classmethod
    def _missing_(cls, value: object) -> Color | None:
        """As some people's enums have it; `value` may be anything that a stranger sends."""
        return cls[str(value).upper()] if value else None


class Tree(msgspec.Struct):
    """Refers to itself, so a stranger decides how deep it is."""

    value: int = 0
    branches: list[Tree] = []


class Even(msgspec.Struct):
    """Runs code of its own, which fails in a way that nobody declared."""

    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise KeyError(self.n)


class Cat(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    lives: Annotated[int, Meta(ge=0, le=9)]


class Dog(msgspec.Struct, tag="dog"):
    name: Annotated[str, Meta(min_length=1, pattern="^[a-z]*$")]


class Row(msgspec.Struct, array_like=True):
    key: int
    note: str = ""


@dataclass
class Point:
    x: float
    y: float = 0.0


class Pair(NamedTuple):
    left: int
    right: str = ""


class Options(TypedDict, total=False):
    when: datetime
    level: Literal["low", "high", 3]


RESULTS: tuple[Any, ...] = (
    int,
    float,
    bool,
    str,
    bytes,
    None,
    Any,
    Tree,
    Even,
    Cat | Dog | None,
    Row,
    Point,
    Pair,
    Options,
    Color,
    Decimal,
    UUID,
    datetime,
    date,
    time,
    timedelta,
    set[int],
    frozenset[str],
    dict[int, list[Color]],
    dict[UUID, Decimal],
    tuple[int, str, float],
    list[Annotated[int, Meta(multiple_of=3)]],
    Annotated[bytes, Meta(max_length=8)],
    Annotated[str, Meta(max_length=8)],
    int | str | float | None,
    dict[str, Any],
)
"""What methods may return, and take."""


def _codecs() -> tuple[MethodCodec, ...]:
    made = []
    for kind in RESULTS:
        parameters = msgspec.defstruct("Parameters", [("value", kind)], forbid_unknown_fields=True)
        for content_type in CONTENT_TYPES:
            try:
                made.append(method_codec(content_type, parameters, kind))
            except ContractError:
                pass  # text and raw bodies carry few types
    return tuple(made)


CODECS = _codecs()
"""One for each type and content type that can be."""


class Plain(DeclaredError):
    """There is nothing to it."""


class Loaded(DeclaredError):
    """Has a field of each kind that is hard to read back."""

    number: Annotated[int, Meta(ge=0, multiple_of=2)] = 0
    color: Color = Color.RED
    even: Even | None = None
    tree: Tree | None = None
    pet: Cat | Dog | None = None
    names: frozenset[str] = frozenset()
    by_id: dict[UUID, Decimal] = {}
    at: datetime | None = None
    took: timedelta | None = None
    point: Point | None = None
    text: Annotated[str, Meta(max_length=5)] | None = None
    raw: bytes = b""
    more: Any = None


class Strict(DeclaredError, code="SOLD_OUT"):
    """Has fields that must be there."""

    sku: str
    left: int


RAISES: dict[str, type[DeclaredError]] = {kind.code: kind for kind in (Plain, Loaded, Strict)}
"""As a contract has them."""
