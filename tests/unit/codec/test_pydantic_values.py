"""Values that pydantic reads and writes: by its own rules, in JSON and in MessagePack."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Flag
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer, field_validator

from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, JSON, MSGPACK, check_type, method_codec
from leveret.codec.pydantic_values import plain_model, pydantic_type
from leveret.errors import ContractError

T = TypeVar("T")


class NoFields(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Line(BaseModel):
    sku: str
    count: int = Field(ge=1, alias="howMany")

    @field_validator("sku")
    @classmethod
    def _is_known(cls, sku: str) -> str:
        if sku == "unknown":
            raise ValueError("there is no such thing")
        return sku


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: UUID
    at: datetime
    tags: set[str] = set()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def age(self) -> int:
        return 3


class LineOfAFriend(Line):
    friend: str = "Ann"


class Page(BaseModel, Generic[T]):
    items: list[T]


class Weight(BaseModel):
    kilos: float | None


@pydantic.dataclasses.dataclass
class Box:
    corners: Annotated[int, Field(ge=1)]
    line: Line | None = None


@dataclass
class Shelf:
    boxes: dict[str, Box]


class Struct(msgspec.Struct):
    line: Line


class Rights(Flag):
    READ = 1
    WRITE = 2


class Door(BaseModel):
    rights: Rights | None = None


class Unreadable(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    lock: NoFields


class Secretive(BaseModel):
    word: pydantic.SecretStr


class Open(Secretive):
    @field_serializer("word", when_used="json")
    def _show(self, word: pydantic.SecretStr) -> str:
        return word.get_secret_value()


class OddSchema:
    @classmethod
    def __get_pydantic_core_schema__(cls, *args: Any) -> Any:
        raise TypeError("it has none")


LINE = Line(sku="carrot", howMany=2)
ID = UUID(int=7)
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def unchecked(sku: Any, count: Any) -> Line:
    return Line.model_construct(sku=sku, count=count)


@pytest.fixture(params=[JSON, MSGPACK])
def content_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Line, LINE),
        (list[Line] | None, [LINE]),
        (list[Line] | None, None),
        (Strict, Strict(id=ID, at=NOW, tags={"a"})),
        (Page[Line], Page[Line](items=[LINE])),
        (Box, Box(1, LINE)),
        (Shelf, Shelf({"a": Box(2)})),
        (Annotated[int, Field(gt=0)], 1),
        (pydantic.StrictStr, "a"),
        (Weight, Weight(kilos=None)),
        (Line, Line(sku="**********", howMany=1)),
        (Open, Open(word=pydantic.SecretStr("**********"))),
    ],
    ids=str,
)
def test_values_arrive_as_they_were(content_type: str, annotation: Any, value: Any) -> None:
    check_type(annotation)
    codec = method_codec(content_type, NoFields, annotation)
    assert codec.decode_result(bytes(codec.encode_result(value))) == value


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (Line, unchecked("carrot", 0), r"greater than or equal to 1 - at `\$\.howMany`"),
        (Line, unchecked("unknown", 1), r"there is no such thing - at `\$\.sku`"),
        (Line, unchecked(b"carrot", 1), r"Expected `str`"),
        (Line, {"sku": "carrot", "howMany": 1}, r"Expected `Line` - at `\$`"),
        (list[Line], [LINE, unchecked("a", 0)], r"at `\$\[1\]\.howMany`"),
        (Shelf, Shelf({"a": Box.__new__(Box)}), "no attribute"),
        (Annotated[int, Field(gt=0)], 0, "greater than 0"),
        (Weight, Weight.model_construct(kilos=float("inf")), r"JSON cannot carry inf.*\.kilos"),
        (Secretive, Secretive(word=pydantic.SecretStr("a")), "pydantic hides a secret"),
        (Page[int], Page[int].model_construct(items=["a"] * 9), "Expected `int`"),
    ],
)
def test_its_rules_hold_where_it_is_sent(
    content_type: str, annotation: Any, value: Any, said: str
) -> None:
    with pytest.raises(ENCODE_ERRORS, match=said):
        method_codec(content_type, NoFields, annotation).encode_result(value)


@pytest.mark.parametrize(
    ("annotation", "plain_value", "said"),
    [
        (Line, {"sku": "a", "howMany": 0}, r"^Input should be .* equal to 1 - at `\$\.howMany`$"),
        (Box, {"corners": 0}, r"equal to 1 - at `\$\.corners`$"),
        (Strict, {"id": 3, "at": "now", "x": 1, "y": 2}, r"; and 1 more$"),
        (Line, [], "valid dictionary or instance|should be an object"),
    ],
)
def test_its_rules_hold_where_it_is_received(
    content_type: str, annotation: Any, plain_value: Any, said: str
) -> None:
    module: Any = msgspec.json if content_type == JSON else msgspec.msgpack
    with pytest.raises(DECODE_ERRORS, match=said):
        method_codec(content_type, NoFields, annotation).decode_result(module.encode(plain_value))


def test_only_the_fields_of_the_declared_type_travel() -> None:
    sent = method_codec(JSON, NoFields, Line).encode_result(
        LineOfAFriend(sku="a", howMany=1, friend="Bob")
    )
    assert sent == b'{"sku":"a","howMany":1}'


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Struct, "pydantic cannot read Struct, which is a msgspec.Struct; make both"),
        (list[NoFields | Line], "pydantic cannot read NoFields"),
        (Line | Annotated[int, msgspec.Meta(gt=0)], "leveret.Meta beside pydantic's .*; write pyd"),
        (Unreadable, "JSON Schema"),
        (OddSchema, "pydantic cannot read it: it has none"),
    ],
    ids=str,
)
def test_what_pydantic_cannot_read_is_refused(annotation: Any, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check_type(annotation)


def test_a_type_of_pydantics_needs_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(BaseModel):
        n: int

    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ContractError, match="pydantic cannot read it: import of pydantic halted"):
        check_type(Model)


def test_other_types_are_none_of_its_business() -> None:
    assert pydantic_type(int) is None
    assert pydantic_type(Annotated[int, ["what has no hash"]]) is None
    program = "import leveret, sys; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_caller_without_a_contract_may_give_models() -> None:
    assert plain_model(LINE) == {"sku": "carrot", "howMany": 2}
    with pytest.raises(TypeError, match="object is unsupported"):
        plain_model(object())


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_an_offset_with_seconds_is_refused_as_pydantic_drops_them(content_type: str) -> None:
    codec = method_codec(content_type, NoFields, Page[datetime])
    berlin = timezone(timedelta(minutes=53, seconds=28))
    at = datetime(1880, 5, 1, tzinfo=berlin)
    with pytest.raises(ENCODE_ERRORS, match=r"\+00:53:28; .* - at `\$\.items\[0\]`"):
        codec.encode_result(Page[datetime](items=[at]))
    page = Page[datetime](items=[at.astimezone(UTC)])
    assert codec.decode_result(bytes(codec.encode_result(page))) == page


def test_combined_flags_are_values_in_the_schema_as_well() -> None:
    codec = method_codec(JSON, NoFields, Door)
    both = Door(rights=Rights.READ | Rights.WRITE)
    assert codec.decode_result(bytes(codec.encode_result(both))) == both
    kind = pydantic_type(Door)
    assert kind is not None
    assert kind.schema("#/$defs/{name}")["$defs"]["Rights"] == {
        "title": "Rights",
        "description": "A sum of READ = 1, WRITE = 2.",
        "type": "integer",
        "minimum": 0,
        "maximum": 3,
    }


class Visit(BaseModel, frozen=True):
    at: datetime
    kilos: float | None = None


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_a_set_of_models_travels(content_type: str) -> None:
    codec = method_codec(content_type, NoFields, set[Visit])
    at = datetime(2024, 2, 29, tzinfo=UTC)
    visits = {Visit(at=at), Visit(at=at, kilos=1.5)}
    assert codec.decode_result(bytes(codec.encode_result(visits))) == visits
    with pytest.raises(ENCODE_ERRORS, match="JSON cannot carry nan"):
        codec.encode_result({Visit(at=at, kilos=float("nan"))})
