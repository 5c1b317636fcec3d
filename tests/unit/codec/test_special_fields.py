"""Arguments of which pydantic reads some, and msgspec the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from pydantic import BaseModel, Field

from leveret.codec import (
    ENCODE_ERRORS,
    JSON,
    MSGPACK,
    RAW,
    TEXT,
    describe,
    fields_codec,
    method_codec,
    untyped_codec,
)
from leveret.errors import ContractError


class Line(BaseModel):
    sku: str
    count: int = Field(ge=1)


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    line: Line
    n: int
    text: str = "a"
    others: list[Line] = []
    tags: list[str] = []


class Only(msgspec.Struct, forbid_unknown_fields=True):
    line: Line


LINE = Line(sku="a", count=1)


@pytest.fixture(params=[JSON, MSGPACK])
def content_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    "arguments",
    [Arguments(LINE, 1), Arguments(LINE, 2, "b", [LINE], ["c"]), Only(LINE)],
)
def test_arguments_arrive_as_they_were_sent(content_type: str, arguments: msgspec.Struct) -> None:
    codec = method_codec(content_type, type(arguments), None)
    assert codec.decode_arguments(bytes(codec.encode_arguments(arguments))) == arguments


def test_what_is_left_out_has_its_default() -> None:
    codec = method_codec(JSON, Arguments, None)
    body = b'{"n":1,"line":{"sku":"a","count":1}}'
    assert codec.decode_arguments(body) == Arguments(LINE, 1)
    given = msgspec.defstruct("Given", [("line", Line), ("other", Line, UNSET), ("n", int, UNSET)])
    assert method_codec(JSON, given, None).encode_arguments(given(LINE)) == (
        b'{"line":{"sku":"a","count":1}}'
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (Arguments(Line.model_construct(sku="a", count=0), 1), r"to 1 - at `\$\.line\.count`"),
        (Arguments(LINE, 1, b"a"), r"Expected `str`, got `bytes` - at `\$\.text`"),  # type: ignore[arg-type]
        (Arguments(LINE, 1, others=[LINE, 3]), r"Expected `Line` - at `\$\.others`"),  # type: ignore[list-item]
    ],
)
def test_each_is_checked_by_its_own(content_type: str, arguments: Arguments, said: str) -> None:
    codec = method_codec(content_type, Arguments, None)
    with pytest.raises(ENCODE_ERRORS, match=said):
        codec.encode_arguments(arguments)


def test_unknown_arguments_are_refused() -> None:
    codec = method_codec(JSON, Only, None)
    with pytest.raises(msgspec.ValidationError, match="unknown field `x`"):
        codec.decode_arguments(b'{"line":{"sku":"a","count":1},"x":1}')
    with pytest.raises(msgspec.ValidationError, match="missing required field `line`"):
        codec.decode_arguments(b"{}")
    with pytest.raises(ValueError, match=r"to 1 - at `\$\.line\.count`"):
        codec.decode_arguments(b'{"line":{"sku":"a","count":0}}')


@pytest.mark.parametrize("content_type", [TEXT, RAW])
def test_a_body_of_one_value_is_none_of_pydantics(content_type: str) -> None:
    with pytest.raises(ContractError, match="cannot carry parameter 'line': it is pydantic's"):
        method_codec(content_type, Only, None)


def test_the_fields_of_an_error_may_be_models() -> None:
    codec = fields_codec(Only)
    assert codec.decode(codec.encode(Only(LINE))) == Only(LINE)


def test_a_caller_without_a_contract_may_give_models(content_type: str) -> None:
    codec = untyped_codec(content_type)
    assert codec.decode_result(bytes(codec.encode_arguments({"line": LINE}))) == {
        "line": {"sku": "a", "count": 1}
    }


def test_json_has_no_nan_of_a_caller_without_a_contract() -> None:
    class Weight(BaseModel):
        kilos: float | None

    encode = untyped_codec(JSON).encode_arguments
    assert encode({"weight": Weight(kilos=None)}) == b'{"weight":{"kilos":null}}'
    with pytest.raises(ValueError, match=r"JSON cannot carry nan.* at `\$\.weight\.kilos`"):
        encode({"weight": Weight(kilos=float("nan"))})


def test_the_schema_has_that_of_the_models() -> None:
    schema, definitions = describe(Arguments, "#/$defs/{name}")
    assert schema == {"$ref": "#/$defs/Arguments"}
    arguments = definitions["Arguments"]
    assert arguments["required"] == ["line", "n"]
    assert arguments["properties"]["line"]["properties"]["count"]["minimum"] == 1
    assert arguments["properties"]["others"]["items"] == {"$ref": "#/$defs/Line"}
    assert definitions["Line"]["title"] == "Line"
    whole, of_whole = describe(list[Line], "#/$defs/{name}")
    assert (whole["items"], list(of_whole)) == ({"$ref": "#/$defs/Line"}, ["Line"])
    plain: Any = describe(list[int], "#/$defs/{name}")
    assert plain == ({"type": "array", "items": {"type": "integer"}}, {})
