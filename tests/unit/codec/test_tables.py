"""Tables of pyarrow and pandas as streams of Arrow's IPC format."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from leveret.codec.tables import frame_of, only_batch, read_table, series_of, write_stream


def written(value: Any) -> bytes:
    return b"".join(write_stream(value))


def read(value: Any) -> Any:
    return read_table(memoryview(written(value)))


TABLE = pa.table(
    {
        "n": [1, 2, None],
        "s": ["a", None, "c"],
        "l": [[1], [], None],
        "d": pa.array(["x", "y", "x"]).dictionary_encode(),
        "o": pa.nulls(3),
    }
)
FRAME = pd.DataFrame(
    {
        "n": [1, 2, 3],
        "f": [1.5, float("nan"), 2.5],
        "s": ["a", None, "c"],
        "t": pd.date_range("2024-02-29", periods=3, tz="Europe/Berlin"),
        "c": pd.Categorical(["x", "y", "x"]),
    }
)


@pytest.mark.parametrize("table", [TABLE, TABLE.slice(1, 1), TABLE.slice(0, 0), pa.table({})])
def test_a_table_arrives_as_it_was(table: Any) -> None:
    assert read(table).equals(table)


@pytest.mark.parametrize("length", [0, 3])
def test_a_batch_arrives_as_it_was(length: int) -> None:
    (batch,) = TABLE.combine_chunks().to_batches()
    batch = batch.slice(0, length)
    found = only_batch(read(batch))
    assert isinstance(found, pa.RecordBatch)
    assert found.equals(batch)


def test_a_table_of_several_batches_is_no_batch() -> None:
    with pytest.raises(ValueError, match="Expected one record batch, got 2"):
        only_batch(read(pa.concat_tables([TABLE, TABLE])))


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.set_index("s"),
        FRAME.set_index(["n", "s"]),
        FRAME.iloc[::2],
        FRAME.iloc[0:0],
        FRAME[["n"]].rename(columns={"n": 7}),
        pd.DataFrame(),
        pd.DataFrame(np.arange(6.0).reshape(2, 3)),
        pd.DataFrame({"p": pd.period_range("2024", periods=2, freq="D")}),
        pd.DataFrame({"l": [np.array([1, 2]), np.array([3])], "d": [{"a": 1}, {"a": 2}]}),
    ],
)
def test_a_frame_arrives_as_it_was(frame: Any) -> None:
    pd.testing.assert_frame_equal(frame_of(read(frame)), frame)


@pytest.mark.parametrize(
    "series",
    [FRAME["n"], FRAME["s"].rename(None), FRAME["t"].rename(0), FRAME.set_index("s")["f"]],
)
def test_a_series_arrives_as_it_was(series: Any) -> None:
    pd.testing.assert_series_equal(series_of(read(series)), series)


def test_a_table_of_several_columns_is_no_series() -> None:
    with pytest.raises(ValueError, match="Expected a Series, got 5 columns"):
        series_of(read(FRAME))


def test_numbers_are_sent_and_read_without_a_copy() -> None:
    numbers = np.arange(10_000.0)
    table = pa.table({"a": numbers})
    parts = write_stream(table)
    assert any(np.shares_memory(np.frombuffer(part, "u1"), numbers) for part in parts if len(part))
    body = b"".join(parts)
    found = read_table(memoryview(body))
    whole = np.frombuffer(body, "u1")
    assert np.shares_memory(found.column("a").chunk(0).to_numpy(), whole)
    column = frame_of(found)["a"].to_numpy()
    assert np.shares_memory(column, whole)
    assert not column.flags.writeable


def test_what_arrow_cannot_carry_is_told() -> None:
    with pytest.raises(ValueError, match="^Arrow cannot carry it: .*failed for column a"):
        write_stream(pd.DataFrame({"a": [1, "x"]}))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["abc"], pa.string_view()),
        pa.array([["abc"]], pa.list_view(pa.string())),
        pa.array([b"abc"], pa.binary_view()),
        pa.array([{"a": "abc"}], pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))])),
        pa.RunEndEncodedArray.from_arrays([3], ["abc"]),
    ],
    ids=lambda column: str(column.type).partition("<")[0],
)
def test_no_frame_is_made_of_what_may_grow(column: Any) -> None:
    table = pa.table({"a": column})
    assert read(table).equals(table)
    with pytest.raises(ValueError, match="the column 'a' is of type .*; send a pyarrow.Table"):
        frame_of(read(table))


BITS = pa.array(np.zeros(400_000, bool))
DICTS = pa.StructArray.from_arrays([BITS], ["a"])
PAIRS = pa.MapArray.from_arrays([0, 2_000_000], *[pa.array(np.zeros(2_000_000, bool))] * 2)


@pytest.mark.parametrize(
    "column",
    [
        DICTS,
        pa.ListArray.from_arrays([0, len(DICTS)], DICTS),
        pa.FixedSizeListArray.from_arrays(BITS, 1),
        pa.StructArray.from_arrays([PAIRS], ["a"]),
    ],
    ids=lambda column: str(column.type),
)
def test_no_frame_is_made_of_bits_that_mean_objects(column: Any) -> None:
    table = pa.table({"a": column})
    with pytest.raises(ValueError, match="bytes of Python's objects in place of .*; send a pyarro"):
        frame_of(read(table))


def test_a_frame_that_cannot_be_made_is_told() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"pandas": "{"})
    with pytest.raises(ValueError, match="^no DataFrame can be made of the Arrow table: "):
        frame_of(read(table))


def test_nulls_beyond_number_are_refused_where_they_are_sent() -> None:
    with pytest.raises(ValueError, match="it says that it has"):
        write_stream(pa.table({"n": pa.nulls(2_000_000)}))


@pytest.mark.parametrize(
    "kind",
    [pa.null(), pa.binary(0), pa.list_(pa.int8(), 0), pa.struct([]), pa.list_(pa.null())],
    ids=str,
)
def test_types_without_bytes_travel(kind: Any) -> None:
    table = pa.schema([("a", kind)]).empty_table()
    assert read(table).equals(table)


def test_values_that_do_not_hold_together_are_refused() -> None:
    array = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 9, 3], "i4")), pa.py_buffer(b"abc")]
    )
    sink = pa.BufferOutputStream()
    table = pa.table({"a": array})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    with pytest.raises(ValueError, match="^the Arrow stream cannot be read: "):
        read_table(memoryview(bytes(sink.getvalue())))


def test_no_spoiled_stream_does_harm() -> None:
    whole = [written(value) for value in (TABLE, FRAME, FRAME.set_index(["n", "s"]))]
    chance = random.Random(1)
    for _ in range(300):
        spoiled = bytearray(chance.choice(whole))
        for _ in range(chance.choice([1, 2, 5])):
            spoiled[chance.randrange(len(spoiled))] = chance.choice([0, 0x7F, 0xFF])
        try:
            frame_of(read_table(memoryview(spoiled)))
        except ValueError:
            pass
