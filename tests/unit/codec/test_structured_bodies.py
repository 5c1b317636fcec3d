"""JSON and MessagePack bodies: what one side encodes the other decodes, and nothing else passes."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, JSON, MSGPACK, method_codec
from leveret.errors import ContractError

STRUCTURED = [JSON, MSGPACK]
# What decoding builtin types may raise: a caller can show each of these to a person.
READABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Colour(Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: float
    y: Annotated[float, Meta(ge=0)] = 0.0


@dataclass
class Box:
    corners: list[Point]
    colour: Colour = Colour.RED


class Options(TypedDict):
    deep: bool


class NoFields(msgspec.Struct, forbid_unknown_fields=True):
    pass


class OneInt(msgspec.Struct, forbid_unknown_fields=True):
    n: int


class OneBounded(msgspec.Struct, forbid_unknown_fields=True):
    n: Annotated[int, Meta(ge=0, le=10_000)]


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    n: int
    text: str
    data: bytes
    flag: bool
    nothing: None = None


class Nested(msgspec.Struct, forbid_unknown_fields=True):
    box: Box
    options: Options


@pytest.fixture(params=STRUCTURED)
def content_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    "arguments",
    [
        NoFields(),
        OneInt(-3),
        OneBounded(10_000),
        Plain(1, "é", b"\x00\xff", True),
        Nested(Box([Point(1.0, 2.0)]), {"deep": True}),
    ],
)
def test_arguments_arrive_as_they_were_sent(content_type: str, arguments: msgspec.Struct) -> None:
    codec = method_codec(content_type, type(arguments), None)
    assert codec.decode_arguments(bytes(codec.encode_arguments(arguments))) == arguments


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (int, -(2**63)),
        (str, "\x00 é 🐇"),
        (bool, False),
        (bytes, b"\xff"),
        (None, None),
        (type(None), None),
        (float, 1.5),
        (float, 1),
        (int | None, None),
        (list[Point], [Point(1.0)]),
        (dict[int, Decimal], {3: Decimal("1.50")}),
        (Box, Box([Point(0.0)])),
        (tuple[UUID, datetime], (UUID(int=7), datetime(2026, 1, 2, tzinfo=UTC))),
        (Literal["a", "b"], "b"),
        (Any, {"a": [1, None]}),
    ],
)
def test_results_arrive_as_they_were_returned(content_type: str, result: Any, value: Any) -> None:
    codec = method_codec(content_type, NoFields, result)
    assert codec.decode_result(bytes(codec.encode_result(value))) == value


@pytest.mark.parametrize(
    "arguments",
    [
        OneInt("30"),  # type: ignore[arg-type]
        OneInt(True),
        OneInt(1.0),  # type: ignore[arg-type]
        OneInt(None),  # type: ignore[arg-type]
        OneBounded(-1),
        OneBounded(10_001),
        Plain(1, "a", b"", 1),  # type: ignore[arg-type]
        Plain(1, "a", b"", True, 0),  # type: ignore[arg-type]
        Plain(1, "\ud800", b"", True),
        Nested(Box([Point(1.0, -1.0)]), {"deep": True}),
        Nested(Box([{"y": 1.0}]), {"deep": True}),  # type: ignore[list-item]
        Nested(Box([]), {"deep": "yes"}),  # type: ignore[typeddict-item]
        Nested(object(), {"deep": True}),  # type: ignore[arg-type]
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_the_encoder(
    content_type: str, arguments: msgspec.Struct
) -> None:
    codec = method_codec(content_type, type(arguments), None)
    with pytest.raises(ENCODE_ERRORS):
        codec.encode_arguments(arguments)


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (int, "3"),
        (int, True),
        (int, 3.0),
        (str, None),
        (str, "\ud800"),
        (bool, 1),
        (bytes, 3),
        (None, 0),
        (Annotated[int, Meta(gt=0)], 0),
        (list[Point], [Point(1.0, -1.0)]),
        (list[int], {1: 2}),
        (Colour, "blue"),
        (Any, object()),
        (Any, lambda: None),
    ],
)
def test_results_that_do_not_fit_are_refused_by_the_encoder(
    content_type: str, result: Any, value: Any
) -> None:
    codec = method_codec(content_type, NoFields, result)
    with pytest.raises(ENCODE_ERRORS):
        codec.encode_result(value)


@pytest.mark.parametrize(
    ("result", "value", "said"),
    [
        (float, math.nan, r"JSON cannot carry nan, MessagePack can .* - at `\$`"),
        (list[float], [1.0, -math.inf], r"cannot carry -inf, .* - at `\$\[1\]`"),
        (float | None, math.inf, "cannot carry inf"),
        (Annotated[float, Meta(title="kg")] | None, math.inf, "cannot carry inf"),
        (dict[str, float | str | None], {"a": None, "b": math.nan}, r"nan, .* - at `\$\.b`"),
        (Any, [{"a": (math.nan,)}], r"nan, .* - at `\$\[0\]\.a\[0\]`"),
        (int, math.nan, "cannot carry nan"),
        (str, math.nan, "cannot carry nan"),
    ],
)
def test_json_refuses_numbers_that_it_has_no_words_for(result: Any, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        method_codec(JSON, NoFields, result).encode_result(value)


@pytest.mark.parametrize(
    ("result", "value"),
    [(float | None, None), (Any, [None, 1.5, "null"]), (list[float | None], [None, 1.0])],
)
def test_a_null_that_is_none_is_left_alone(result: Any, value: Any) -> None:
    codec = method_codec(JSON, NoFields, result)
    assert codec.decode_result(bytes(codec.encode_result(value))) == value


class Texts(msgspec.Struct):
    text: str = "a"
    data: bytes = b"a"
    large: int = 0
    real: float = 0.0
    perhaps: str | None = None


@pytest.mark.parametrize("size", [1, 5_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, b"abc"),
        (bytes, "data"),
        (str | None, b"abc"),
        (list[str], ["a", b"abc"]),
        (list[bytes], [b"a", "data"]),
        (dict[str, bytes], {"a": "data"}),
        (dict[str, int], {b"a": 1}),
        (dict[str, int], {1: 1}),
        (dict[int, int], {"1": 1}),
        (tuple[str, ...], (bytearray(b"a"),)),
        (bytearray, "data"),
        (Decimal, b"\xd7m\xf8"),
        (Texts, Texts(text=b"abc")),  # type: ignore[arg-type]
        (Texts, Texts(data="data")),  # type: ignore[arg-type]
        (list[Texts | None], [None, Texts(perhaps=b"abc")]),  # type: ignore[arg-type]
        (Texts, Texts(text=b"abc", large=2**70)),  # type: ignore[arg-type]
        (list[Box], [Box([], b"abc")]),  # type: ignore[arg-type]
        (Options, {"deep": b"abc"}),
    ],
    ids=str,
)
def test_text_is_no_bytes_and_bytes_are_no_text(
    content_type: str, annotation: Any, value: Any, size: int
) -> None:
    parameters = msgspec.defstruct("One", [("fill", str), ("value", annotation)])
    codec = method_codec(content_type, parameters, annotation)
    with pytest.raises(ENCODE_ERRORS) as caught:
        codec.encode_arguments(parameters("x" * size, value))
    assert isinstance(caught.value, msgspec.ValidationError | OverflowError)
    with pytest.raises(type(caught.value)):
        codec.encode_result(value)


def test_values_beside_text_are_proven_as_json_has_them() -> None:
    codec = method_codec(JSON, NoFields, Texts)
    for value in (Texts(), Texts("a" * 3_000), Texts(large=2**70), Texts(real=1.5, perhaps="b")):
        assert codec.decode_result(bytes(codec.encode_result(value))) == value
    with pytest.raises(ValueError, match=r"JSON cannot carry inf, .* at `\$\.real`"):
        codec.encode_result(Texts(real=math.inf))


def test_messagepack_carries_nan() -> None:
    codec = method_codec(MSGPACK, NoFields, float)
    assert math.isnan(codec.decode_result(bytes(codec.encode_result(math.nan))))


def test_json_carries_integers_of_thousands_of_digits() -> None:
    codec = method_codec(JSON, OneInt, int)
    large = 10**2_089 + 7
    assert codec.decode_result(bytes(codec.encode_result(large))) == large
    assert codec.decode_arguments(bytes(codec.encode_arguments(OneInt(-large)))) == OneInt(-large)


def test_messagepack_refuses_integers_beyond_64_bits() -> None:
    codec = method_codec(MSGPACK, OneInt, int)
    with pytest.raises(OverflowError):
        codec.encode_result(2**64)
    with pytest.raises(OverflowError):
        codec.encode_arguments(OneInt(2**64))


def test_json_refuses_integers_that_python_itself_does_not_print() -> None:
    codec = method_codec(JSON, NoFields, int)
    with pytest.raises(ValueError, match="4300 digits"):
        codec.encode_result(10**5_000)
    with pytest.raises(READABLE):
        codec.decode_result(b"1" * 5_000)


def test_unknown_and_missing_arguments_are_named(content_type: str) -> None:
    codec = method_codec(content_type, OneInt, None)
    unknown = method_codec(content_type, NoFields, Any).encode_result({"n": 1, "m": 2})
    with pytest.raises(msgspec.ValidationError, match="unknown field `m`"):
        codec.decode_arguments(bytes(unknown))
    missing = method_codec(content_type, NoFields, Any).encode_result({})
    with pytest.raises(msgspec.ValidationError, match="missing required field `n`"):
        codec.decode_arguments(bytes(missing))


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    for content_type, opening in ((JSON, b"["), (MSGPACK, b"\x91")):
        with pytest.raises(RecursionError):
            method_codec(content_type, NoFields, Any).decode_result(opening * 200_000)


def test_a_value_that_holds_itself_is_an_error(content_type: str) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        method_codec(content_type, NoFields, Any).encode_result(endless)


class Strict(msgspec.Struct):
    """A type with a check of its own that fails in its own way."""

    key: str

    def __post_init__(self) -> None:
        {"known": 1}[self.key]


def test_whatever_a_types_own_check_raises_is_covered(content_type: str) -> None:
    codec = method_codec(content_type, NoFields, Strict)
    body = method_codec(content_type, NoFields, Any).encode_result({"key": "unknown"})
    with pytest.raises(KeyError) as caught:
        codec.decode_result(bytes(body))
    assert isinstance(caught.value, DECODE_ERRORS)
    assert isinstance(caught.value, ENCODE_ERRORS)


@pytest.mark.parametrize("parameters", [NoFields, OneInt, OneBounded, Plain, Nested])
@pytest.mark.parametrize("content_type", STRUCTURED)
@settings(deadline=None)  # the machine may be busy
@given(body=st.binary(max_size=200))
def test_any_bytes_are_arguments_or_a_readable_error(
    content_type: str, parameters: type[msgspec.Struct], body: bytes
) -> None:
    codec = method_codec(content_type, parameters, None)
    with contextlib.suppress(*READABLE):
        assert isinstance(codec.decode_arguments(body), parameters)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
RESULTS = [int, str, bool, bytes, None, float, list[int], dict[str, float], int | None, Box, Any]
# Each value that is drawn meets all codecs: to draw one takes much longer than to encode it.
CODECS = {
    (content_type, result): method_codec(content_type, NoFields, result)
    for content_type in STRUCTURED
    for result in RESULTS
}
of_many_values = settings(deadline=None, max_examples=300)  # the machine may be busy


@of_many_values
@given(value=JSON_VALUES)
def test_what_an_encoder_lets_through_the_decoder_takes(value: Any) -> None:
    for (content_type, result), codec in CODECS.items():
        try:
            body = codec.encode_result(value)
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError):
            continue
        try:
            codec.decode_result(bytes(body))
        except Exception as error:
            error.add_note(f"{content_type} of {result}: {bytes(body)!r}")
            raise


@of_many_values
@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_result_or_a_readable_error(body: bytes) -> None:
    for (content_type, result), codec in CODECS.items():
        try:
            codec.encode_result(codec.decode_result(body))
        except READABLE:
            pass
        except Exception as error:
            error.add_note(f"{content_type} of {result}")
            raise


def test_the_common_errors_are_among_those_to_catch() -> None:
    for error in (*READABLE, TypeError, ValueError, OverflowError):
        assert issubclass(error, ENCODE_ERRORS)
        assert issubclass(error, DECODE_ERRORS)


def test_the_decoders_are_msgspecs_own_without_a_wrapper(content_type: str) -> None:
    codec = method_codec(content_type, OneInt, int)
    for decode in (codec.decode_arguments, codec.decode_result):
        owner = getattr(decode, "__self__", None)
        assert isinstance(owner, msgspec.json.Decoder | msgspec.msgpack.Decoder)


def test_a_type_that_cannot_be_decoded_is_refused(content_type: str) -> None:
    with pytest.raises(ContractError, match=f"{content_type} cannot carry"):
        method_codec(content_type, NoFields, list[int] | set[int])


def test_a_codec_says_its_content_type_in_normal_form() -> None:
    assert method_codec(None, OneInt, int).content_type == JSON
    assert method_codec("application/x-msgpack", OneInt, int).content_type == MSGPACK
