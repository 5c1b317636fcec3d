"""Field tables: ours read what pamqp reads, and refuse what does not hold together."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pamqp.decode
import pamqp.encode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp.tables import MAX_DEPTH, TableError, decode_table, encode_table
from tests.unit.amqp.strategies import FAST, entry, raw_tables, tables


def length(content: bytes) -> bytes:
    """A length of four octets and what it counts."""
    return struct.pack(">I", len(content)) + content


def decoded(entries: bytes) -> dict[str, Any]:
    return decode_table(entries, 0, len(entries))


@FAST
@given(tables)
def test_a_table_is_written_and_read_as_pamqp_does_and_comes_back(table: dict[str, Any]) -> None:
    data = pamqp.encode.field_table(table)
    assert encode_table(table) == data
    assert decode_table(data, 4, len(data)) == pamqp.decode.field_table(data)[1]
    assert decode_table(data, 4, len(data)) == table


@FAST
@given(raw_tables)
def test_every_type_that_peers_write_is_read_as_pamqp_reads_it(entries: bytes) -> None:
    assert decoded(entries) == pamqp.decode.field_table(length(entries))[1]


@FAST
@given(raw_tables, st.binary(max_size=20), st.binary(max_size=20))
def test_a_table_is_read_from_the_middle_of_a_frame(
    entries: bytes, before: bytes, after: bytes
) -> None:
    data = before + entries + after
    assert decode_table(data, len(before), len(before) + len(entries)) == decoded(entries)


@FAST
@given(raw_tables.filter(bool), st.data())
def test_a_table_cut_short_is_an_error_or_a_shorter_table(
    entries: bytes, data: st.DataObject
) -> None:
    """What follows the cut in the buffer belongs to the next frame and must not be taken in."""
    stop = data.draw(st.integers(0, len(entries) - 1))
    try:
        table = decode_table(entries, 0, stop)
    except TableError:
        return
    whole = decoded(entries)
    assert set(table) <= set(whole)
    assert table == decode_table(entries[:stop], 0, stop)


@FAST
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_table_or_an_error(entries: bytes) -> None:
    try:
        table = decoded(entries)
    except (TableError, IndexError):  # the parser takes both for a malformed frame
        return
    assert isinstance(table, dict)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (b"\x05ab", "a field's name runs past the end of its table"),
        (b"\x02ab", "a field's name runs past the end of its table"),
        (entry(b"a", b"I\x00\x00"), "a field's value runs past the end of its table"),
        (entry(b"a", b"t"), "a field's value runs past the end of its table"),
        (entry(b"a", b"T\x00"), "a field's value runs past the end of its table"),
        (entry(b"a", b"D\x00"), "a field's value runs past the end of its table"),
        (entry(b"a", b"S\x00\x00"), "a field's value runs past the end of its table"),
        (entry(b"a", b"S\x00\x00\x00\x09abc"), "a field's value runs past the end of its table"),
        (entry(b"a", b"x\xff\xff\xff\xff"), "a field's value runs past the end of its table"),
        (entry(b"a", b"A\x00\x00\x00\x01t"), "a field's value runs past the end of its table"),
        (entry(b"a", b"F\x00\x00\x00\x01\x07"), "a field's name runs past the end of its table"),
        (entry(b"a", b"Q"), "a field of the unknown type 0x51"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(entries: bytes, reason: str) -> None:
    # The octets behind the table are there, so that only its length can tell where it ends.
    with pytest.raises(TableError) as caught:
        decode_table(entries + b"\x00" * 300, 0, len(entries))
    assert str(caught.value) == reason


def test_text_that_is_no_utf8_stays_bytes() -> None:
    assert decoded(entry(b"a", b"S" + length(b"\xff\xfe"))) == {"a": b"\xff\xfe"}


def test_a_name_that_is_no_utf8_keeps_its_bytes_as_surrogates() -> None:
    (name,) = decoded(entry(b"\xffx", b"V"))
    assert name.encode("utf-8", "surrogateescape") == b"\xffx"


def test_a_time_beyond_2106_is_in_seconds_still() -> None:
    moment = datetime(2200, 1, 1, tzinfo=UTC)
    assert decoded(encode_table({"a": moment})[4:]) == {"a": moment}


@pytest.mark.parametrize("seconds", [2**62, -(2**62), -(2**63), 2**63 - 1])
def test_a_time_beyond_the_calendar_stays_a_number(seconds: int) -> None:
    assert decoded(entry(b"a", b"T" + struct.pack(">q", seconds))) == {"a": seconds}


def test_a_negative_decimal_keeps_its_sign() -> None:
    assert decoded(encode_table({"a": Decimal("-12.5")})[4:]) == {"a": Decimal("-12.5")}


@pytest.mark.parametrize("kind", [b"A", b"F"])
def test_what_nests_too_deep_stays_bytes(kind: bytes) -> None:
    name = b"\x01a" if kind == b"F" else b""
    content = b""
    for _ in range(MAX_DEPTH + 4):
        content = name + kind + length(content)
    value: Any = decoded(b"\x01a" + content[len(name) :])
    depth = 0
    while not isinstance(value, bytes):
        value = value["a"] if isinstance(value, dict) else value[0]
        depth += 1
    assert depth == MAX_DEPTH
    assert value.startswith(name + kind)


def test_a_table_of_nothing_but_nesting_does_not_exhaust_the_stack() -> None:
    content = b""
    for _ in range(20_000):
        content = b"A" + length(content)
    assert list(decoded(b"\x01a" + content)) == ["a"]


@pytest.mark.parametrize(
    "value",
    [object(), b"bytes", 2**63, -(2**63) - 1, 1e39, Decimal("NaN"), Decimal(2**40), {1, 2}, {1: 2}],
)
def test_a_value_that_amqp_has_no_type_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode_table({"a": value})


@pytest.mark.parametrize("name", ["n" * 129, "é" * 65, 1, None, b"bytes"])
def test_a_name_that_a_table_cannot_hold_is_refused_and_not_cut(name: Any) -> None:
    with pytest.raises(TypeError):
        encode_table({name: 1})


@pytest.mark.parametrize("table", [{"\udcff": 1}, {"a": "\udcff"}, {"a": [{"\ud800": 1}]}])
def test_a_text_that_is_not_unicode_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        encode_table(table)


def test_a_name_may_be_128_bytes_long() -> None:
    assert decoded(encode_table({"é" * 64: 1})[4:]) == {"é" * 64: 1}
