"""What is looked at in a stream of Arrow's IPC format before pyarrow reads it."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pytest

from leveret.codec.ipc_stream import check_stream


def stream(*tables: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, tables[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as it:
        for table in tables:
            it.write(table)
    return bytes(sink.getvalue())


def check(data: bytes) -> None:
    check_stream(memoryview(data))


def nulls(number: int) -> Any:
    return pa.table({"n": pa.nulls(number)})


PLAIN = pa.table({"n": [1, 2], "s": ["a", None], "d": pa.array(["x", "y"]).dictionary_encode()})


@pytest.mark.parametrize(
    "data",
    [
        stream(PLAIN),
        stream(PLAIN, PLAIN),
        stream(PLAIN.slice(0, 0)),
        stream(PLAIN.schema.empty_table()),
        stream(pa.table({})),
        stream(nulls(1_000_000)),
        stream(pa.table({"b": [True] * 5_000_000})),
    ],
    ids=len,
)
def test_what_pyarrow_writes_passes(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("table", [PLAIN, PLAIN.select(["d"])])
def test_a_compressed_stream_is_refused(codec: str, table: Any) -> None:
    with pytest.raises(ValueError, match="its buffers are compressed; they must be sent as they"):
        check(stream(table, compression=codec))


@pytest.mark.parametrize(
    "table",
    [
        nulls(2_000_000),
        pa.table({"l": pa.array([list(range(0)), [None] * 2_000_000])}),
        pa.table({str(n): pa.nulls(600_000) for n in range(2)}),
    ],
)
def test_more_values_than_bytes_can_mean_are_refused(table: Any) -> None:
    with pytest.raises(ValueError, match="it says that it has .* values or more, in .* bytes"):
        check(stream(table))


def test_a_big_endian_stream_is_refused() -> None:
    data = bytearray(stream(PLAIN))
    # The schema is little-endian by default, and so not written: the head of another one says so.
    head = struct.pack("<I", 16)  # the message, whose table begins at 16
    head += struct.pack("<HHHHH", 10, 16, 0, 4, 8) + b"\0\0"  # its entries, at 4
    head += struct.pack("<iB3xI", 12, 1, 12)  # the table: a schema, 12 bytes after its reference
    head += struct.pack("<HHH", 6, 8, 4) + b"\0\0" + struct.pack("<iH2x", 8, 1)
    with pytest.raises(ValueError, match="it is big-endian; it must be sent little-endian"):
        check(struct.pack("<II", 0xFFFFFFFF, len(head)) + head + bytes(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is damaged"),
        (b"ARROW1\0\0" + stream(PLAIN), "it is no stream of Arrow's IPC format, version 1.0"),
        (stream(PLAIN)[:-8], "it is damaged"),
        (stream(PLAIN) + b"x", "it ends after .* bytes, and has"),
        (b"\xff\xff\xff\xff\x10\0\0\0" + b"\xff" * 64, "it is damaged"),
    ],
)
def test_a_damaged_stream_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check(data)


def test_every_byte_of_a_stream_may_be_wrong() -> None:
    data = stream(PLAIN)
    for at in range(len(data)):
        spoiled = bytearray(data)
        spoiled[at] ^= 0xFF
        try:
            check(bytes(spoiled))
        except ValueError:
            pass
