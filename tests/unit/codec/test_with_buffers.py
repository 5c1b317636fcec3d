"""Bodies in which arrays and tables travel out of band, and all else as MessagePack."""

from __future__ import annotations

import struct
import sys
from dataclasses import make_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from msgspec import UNSET
from msgspec.msgpack import Ext
from pydantic import BaseModel

from leveret import Hook
from leveret.codec import (
    BUFFERS,
    JSON,
    MSGPACK,
    RAW,
    TEXT,
    check_type,
    check_value,
    method_codec,
    untyped_codec,
)
from leveret.codec.buffers import laid_out
from leveret.codec.with_buffers import coder
from leveret.errors import ContractError

Floats = npt.NDArray[np.float64]
FLOATS = np.array([1.5, 2.5])
TABLE = pa.table({"a": [1, 2]})
FRAME = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    values: Floats
    more: list[Floats] | None = None
    when: datetime | None = None
    times: float = 1.0


class Tables(msgspec.Struct):
    frame: pd.DataFrame
    series: pd.Series
    table: pa.Table
    batch: pa.RecordBatch


class Model(BaseModel):
    n: int


Turn = Annotated[
    complex,
    Hook(complex, list[float], encode=lambda z: [z.real, z.imag], decode=lambda z: complex(*z)),
]


class Mixed(msgspec.Struct, forbid_unknown_fields=True):
    model: Model
    values: Floats
    turn: Turn
    n: int = 7


def body(value: Any, *buffers: bytes) -> bytes:
    return bytes(laid_out(msgspec.msgpack.encode(value), [[buffer] for buffer in buffers]))


def array(*head: Any) -> Ext:
    return Ext(1, msgspec.msgpack.encode(head))


def test_arguments_arrive_as_they_were_sent() -> None:
    codec = method_codec(BUFFERS, Arguments, None)
    when = datetime(2024, 2, 29, tzinfo=UTC)
    sent = Arguments(FLOATS, [FLOATS, -FLOATS], when, float("nan"))
    found: Any = codec.decode_arguments(bytes(codec.encode_arguments(sent)))
    np.testing.assert_array_equal(found.values, FLOATS)
    np.testing.assert_array_equal(found.more, [FLOATS, -FLOATS])
    assert (found.when, np.isnan(found.times)) == (when, True)
    assert codec.decode_result(bytes(codec.encode_result(None))) is None


def test_tables_arrive_as_what_the_annotation_says() -> None:
    encode, decode = coder(Tables)
    (batch,) = TABLE.to_batches()
    found = decode(bytes(encode(Tables(FRAME, FRAME["a"], TABLE, batch))))
    pd.testing.assert_frame_equal(found.frame, FRAME)
    pd.testing.assert_series_equal(found.series, FRAME["a"])
    assert found.table.equals(TABLE)
    assert found.batch.equals(batch)


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (Arguments, Arguments(np.array([1])), r"of float64, got one of int64 - at `\$\.values`"),
        (Arguments, Arguments(FLOATS, [FLOATS, np.array([1])]), r"at `\$\.more\[1\]`"),
        (Arguments, Arguments([1.5]), r"Expected `numpy.ndarray`, got `list` - at `\$\.values`"),  # type: ignore[arg-type, unused-ignore]
        (Arguments, Arguments(FLOATS, times="a"), r"Expected `float`, got `str`"),  # type: ignore[arg-type]
        (Arguments, Arguments(TABLE), r"Expected `numpy.ndarray`, got `pyarrow.lib.Table`"),
        (pd.DataFrame, TABLE, "Expected `.*DataFrame`, got `pyarrow.lib.Table`"),
        (pa.Table, FRAME, "Expected `pyarrow.lib.Table`, got `.*DataFrame`"),
        (Floats, np.ma.masked_array([1.5]), "MaskedArray is unsupported"),
        (list[Floats], [np.array([None])], "dtype object holds references"),
    ],
)
def test_what_does_not_fit_is_not_sent(annotation: Any, value: Any, reason: str) -> None:
    encode, _ = coder(annotation)
    with pytest.raises((ValueError, TypeError), match=reason):
        encode(value)
    with pytest.raises((ValueError, TypeError), match=reason):
        check_value(BUFFERS, annotation, value)


def test_what_mean_the_same_travels_beside_arrays() -> None:
    encode, decode = coder(tuple[Floats, float])
    assert decode(bytes(encode((FLOATS, np.float32(0.5)))))[1] == 0.5


@pytest.mark.parametrize(
    ("annotation", "data", "reason"),
    [
        (Floats, b"{}", "does not begin as one of"),
        (Floats, body(array("<f8", [2], "C", 0), bytes(15)), "its buffer has 15"),
        (
            Floats,
            body(array("<f8", [2], "C", 1), bytes(16)),
            "has no buffer 1, or it is used",
        ),
        (Floats, body(array(">f8", [2], "C", 0), bytes(16)), "must be sent little-endian"),
        (Floats, body(array("<f4", [2], "C", 0), bytes(8)), "Expected an array of float64"),
        (Floats, body(array("<f8", [2], "C"), bytes(8)), "Expected `array`"),
        (Floats, body(Ext(1, b"")), "truncated"),
        (
            Floats,
            body(Ext(2, b"\x00"), b"ARROW1"),
            "the Arrow stream cannot be read: it is damaged",
        ),
        (Floats, body(Ext(3, b"\x00"), b""), "of the unknown extension type 3"),
        (Floats, body([1.5]), "Expected `numpy.ndarray`, got `list`"),
        (int, body(array("<f8", [1], "C", 0), bytes(8)), "Expected `int`, got `ext`"),
        (pa.RecordBatch, body(array("<f8", [1], "C", 0), bytes(8)), "got `numpy.ndarray`"),
        (
            list[Floats],
            body([array("<f8", [1], "C", 0)] * 2, bytes(8)),
            "has no buffer 0, or it is used twice",
        ),
    ],
)
def test_a_body_that_lies_is_refused(annotation: Any, data: bytes, reason: str) -> None:
    _, decode = coder(annotation)
    with pytest.raises((ValueError, msgspec.DecodeError), match=reason):
        decode(data)


def test_what_a_reader_does_not_know_may_have_a_buffer() -> None:
    class Known(msgspec.Struct):
        n: int

    _, decode = coder(Known)
    sent = {"n": 1, "values": array("<f8", [1], "C", 0)}
    assert decode(body(sent, struct.pack("<d", 1.5))) == Known(1)


def test_what_is_left_out_does_not_travel() -> None:
    class Given(msgspec.Struct):
        values: Floats
        more: Any = UNSET

    encode, _ = coder(Given)
    _, decode = coder(Arguments)
    assert decode(bytes(encode(Given(FLOATS)))).more is None


@pytest.mark.parametrize("content_type", [JSON, MSGPACK, TEXT, RAW])
def test_other_content_types_carry_no_arrays(content_type: str) -> None:
    reason = f"cannot carry parameter 'values': arrays and tables travel as {BUFFERS}"
    with pytest.raises(ContractError, match=reason):
        method_codec(content_type, msgspec.defstruct("P", [("values", Floats)]), None)
    with pytest.raises(ContractError, match="cannot carry its result: arrays and tables"):
        method_codec(content_type, msgspec.defstruct("P", [("n", bytes)]), list[pa.Table])


def test_what_is_pydantics_or_has_a_hook_travels_beside_arrays() -> None:
    codec = method_codec(BUFFERS, Mixed, Model)
    sent = Mixed(Model(n=1), FLOATS, 1 + 2j)
    found: Any = codec.decode_arguments(bytes(codec.encode_arguments(sent)))
    assert (found.model, found.turn, found.n) == (Model(n=1), 1 + 2j, 7)
    np.testing.assert_array_equal(found.values, FLOATS)
    assert codec.decode_result(bytes(codec.encode_result(Model(n=2)))) == Model(n=2)
    with pytest.raises(ValueError, match=r"Expected `int` - at `\$\.model`"):
        codec.encode_arguments(Mixed(Model.model_construct(n="a"), FLOATS, 1j))
    with pytest.raises(msgspec.ValidationError, match=r"got one of int64 - at `\$\.values`"):
        codec.encode_arguments(Mixed(Model(n=1), np.array([1]), 1j))


@pytest.mark.parametrize("beside", [Turn, Model])
def test_they_are_not_in_one_type(beside: Any) -> None:
    both = make_dataclass("Both", [("beside", beside), ("values", Floats)])
    with pytest.raises(ContractError, match="has a hook, in one; make them two"):
        check_type(list[both])  # type: ignore[valid-type]


def test_plain_values_arrays_and_tables_travel_without_a_contract() -> None:
    codec = untyped_codec(BUFFERS)
    sent = bytes(codec.encode_arguments({"values": FLOATS, "frame": FRAME, "m": Model(n=1)}))
    found = codec.decode_result(sent)
    np.testing.assert_array_equal(found["values"], FLOATS)
    assert isinstance(found["frame"], pa.Table)
    pd.testing.assert_frame_equal(found["frame"].to_pandas(), FRAME)
    assert found["m"] == {"n": 1}


@pytest.mark.parametrize(("package", "value"), [("numpy", FLOATS), ("pyarrow", TABLE)])
def test_a_reader_without_what_it_takes_says_so(
    package: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = untyped_codec(BUFFERS)
    sent = bytes(codec.encode_arguments({"a": value}))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"takes {package}; pip install 'leveret\[arrow\]'"):
        codec.decode_result(sent)
