"""Message properties: as pamqp has them, whatever the parser remembers of earlier ones."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.header import ContentHeader

from leveret.amqp.properties import (
    Properties,
    PropertiesParser,
    encode_properties,
    short_string,
)
from leveret.amqp.tables import TableError, decode_table, encode_table
from tests.unit.amqp.reading import held
from tests.unit.amqp.strategies import (
    FAST,
    entry,
    pamqp_properties,
    properties,
    raw_tables,
    raw_values,
    tables,
)

DEADLINE = b"\x08deadlinel"


def headers_of(parser: PropertiesParser, table: bytes) -> dict[str, Any]:
    """The headers that a parser reads where a message's table has these entries."""
    data = b"\x20\x00" + struct.pack(">I", len(table)) + table
    headers = parser.parse(data, 0, len(data)).headers
    assert headers is not None
    return headers


def parsed(data: bytes) -> Properties:
    return PropertiesParser().parse(data, 0, len(data))


@FAST
@given(properties)
def test_properties_are_written_as_pamqp_writes_them(ours: Properties) -> None:
    assert encode_properties(ours) == pamqp_properties(ours).marshal()


@FAST
@given(properties, st.integers(0, 2**63))
def test_properties_that_pamqp_wrote_come_back(ours: Properties, body_size: int) -> None:
    header = ContentHeader(body_size=body_size, properties=pamqp_properties(ours))
    frame = pamqp.frame.marshal(header, 1)
    assert PropertiesParser().parse(frame, 7 + 12, len(frame) - 1) == ours


def combination(bits: int) -> Properties:
    """The properties whose flags are set in `bits`, the first in the lowest bit."""
    numbers = {"delivery_mode": 2, "priority": 9, "timestamp": 1_700_000_000}
    chosen: dict[str, Any] = {}
    for place, name in enumerate(Properties.__struct_fields__):
        if bits >> place & 1:
            chosen[name] = {"n": 1} if name == "headers" else numbers.get(name, name)
    return Properties(**chosen)


def test_each_of_the_16384_combinations_of_properties_comes_back() -> None:
    parser = PropertiesParser()
    for bits in range(2**14):
        ours = combination(bits)
        data = encode_properties(ours)
        assert data == pamqp_properties(ours).marshal()
        assert parser.parse(data, 0, len(data)) == ours


def test_an_empty_text_is_not_an_absent_one() -> None:
    empty = Properties(reply_to="", correlation_id="", headers={})
    assert parsed(encode_properties(empty)) == empty
    assert parsed(encode_properties(Properties())) == Properties()


@pytest.mark.parametrize(
    "name",
    sorted({*Properties.__struct_fields__} - {"headers", "delivery_mode", "priority", "timestamp"}),
)
def test_text_that_is_no_utf8_is_echoed_unchanged(name: str) -> None:
    raw = b"\xff\x00\xfe caf\xc3\xa9"
    text = raw.decode("utf-8", "surrogateescape")
    data = encode_properties(msgspec.structs.replace(Properties(), **{name: text}))
    assert data[2:] == bytes((len(raw),)) + raw
    back = parsed(data)
    assert getattr(back, name) == text
    assert encode_properties(back) == data


def test_a_short_string_takes_255_bytes_and_no_more() -> None:
    assert short_string("é" * 127 + "x") == b"\xff" + ("é" * 127 + "x").encode()
    with pytest.raises(ValueError, match="at most 255 bytes here, got 256: 'ééé"):
        short_string("é" * 128)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"timestamp": -1}, ValueError),
        ({"timestamp": 2**64}, ValueError),
        ({"priority": 256}, ValueError),
        ({"delivery_mode": -1}, ValueError),
        ({"message_id": "m" * 256}, ValueError),
        ({"expiration": 5}, TypeError),
        ({"headers": {"a": object()}}, TypeError),
    ],
)
def test_a_property_that_amqp_cannot_hold_is_refused(
    wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        encode_properties(Properties(**wrong))


@FAST
@given(properties, st.data())
def test_properties_cut_short_or_with_bytes_to_spare_are_refused(
    ours: Properties, data: st.DataObject
) -> None:
    encoded = encode_properties(ours)
    stop = data.draw(st.integers(0, len(encoded) - 1))
    for wrong, end in (
        (encoded, stop),
        (encoded[:stop], stop),
        (encoded + b"\x00", len(encoded) + 1),
    ):
        with pytest.raises((ValueError, IndexError, struct.error)):
            PropertiesParser().parse(wrong + b"\xce", 0, end)


@pytest.mark.parametrize("flags", [0x0001, 0x0002, 0x0003])
def test_property_flags_that_amqp_does_not_define_are_refused(flags: int) -> None:
    with pytest.raises(ValueError, match="property flags that AMQP 0-9-1 does not define"):
        parsed(struct.pack(">H", flags))


def test_a_header_table_longer_than_its_frame_is_refused() -> None:
    data = b"\x20\x00" + struct.pack(">I", 50) + b"\x00" * 100
    with pytest.raises(TableError, match="runs past the end of its frame"):
        PropertiesParser().parse(data, 0, 20)


@FAST
@given(number=st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_the_number_of_an_item_alone_in_a_table_is_read_like_any_entry(number: int) -> None:
    table = b"\x01nl" + number.to_bytes(8, signed=True)
    packed = b"\x20\x00" + len(table).to_bytes(4) + table
    assert PropertiesParser().parse(packed, 0, len(packed)) == Properties(headers={"n": number})
    other = b"\x20\x00" + len(table).to_bytes(4) + table.replace(b"\x01n", b"\x01m", 1)
    assert PropertiesParser().parse(other, 0, len(other)) == Properties(headers={"m": number})


# A `deadline` at a table's end is read on its own where what stands before is a whole table.


@FAST
@given(raw_tables, st.integers(-(2**63), 2**63 - 1))
def test_a_deadline_at_the_end_is_read_like_any_entry(before: bytes, deadline: int) -> None:
    parser = PropertiesParser()
    for moment in (deadline, -1 - deadline):  # the second time, what stands before is remembered
        table = before + DEADLINE + struct.pack(">q", moment)
        read = headers_of(parser, table)
        assert read == decode_table(table, 0, len(table))
        assert list(read) == list(decode_table(table, 0, len(table)))


@FAST
@given(raw_tables, st.lists(raw_tables, min_size=1, max_size=3), st.binary(max_size=3))
def test_metadata_before_the_deadline_is_read_like_any_entry(
    before: bytes, metadata: list[bytes], more: bytes
) -> None:
    parser = PropertiesParser()
    for inside in (*metadata, *metadata, metadata[0] + more):
        table = before + b"\x08metadataF" + struct.pack(">I", len(inside)) + inside
        table += DEADLINE + bytes(8)
        try:
            expected = decode_table(table, 0, len(table))
        except (TableError, IndexError, struct.error):
            with pytest.raises((TableError, IndexError, struct.error)):
                headers_of(parser, table)
        else:
            assert headers_of(parser, table) == expected
            assert list(headers_of(parser, table)) == list(expected)


@FAST
@given(raw_tables, st.binary(max_size=12), st.binary(min_size=8, max_size=8))
def test_a_text_that_ends_like_a_deadline_is_read_as_a_text(
    before: bytes, start: bytes, end: bytes
) -> None:
    text = start + DEADLINE + end
    table = before + entry(b"note", b"S" + struct.pack(">I", len(text)) + text)
    parser = PropertiesParser()
    # What stands before the text is remembered first, and with it the text's own beginning.
    for known in (before, table[:-18], table):
        try:
            headers_of(parser, known + DEADLINE + b"\x00" * 8)
        except (TableError, IndexError):
            continue
    for _ in range(2):
        assert headers_of(parser, table) == decode_table(table, 0, len(table))


@FAST
@given(st.lists(raw_tables, max_size=3), raw_values, st.lists(st.booleans(), max_size=4))
def test_a_parser_reads_any_table_whatever_it_has_read_before(
    before: list[bytes], value: bytes, ends: list[bool]
) -> None:
    parser = PropertiesParser()
    for entries in [*before, entry(b"a", value), *before]:
        table = entries
        for end in ends:
            table += DEADLINE + (b"\xff" * 8 if end else b"\x08deadlin")
        assert headers_of(parser, table) == decode_table(table, 0, len(table))


@pytest.mark.parametrize("broken", [b"\x05ab", b"\x01aS\x00\x00\x00\x64", b"\x01aQ"])
def test_a_broken_table_before_a_deadline_is_refused_each_time(broken: bytes) -> None:
    parser = PropertiesParser()
    for _ in range(2):
        with pytest.raises((TableError, IndexError)):
            headers_of(parser, broken + DEADLINE + b"\x00" * 8)


@FAST
@given(tables)
def test_who_changes_a_table_does_not_change_the_next(table: dict[str, Any]) -> None:
    data = encode_table(table)[4:] + DEADLINE + b"\x00" * 8
    parser = PropertiesParser()
    headers_of(parser, data)
    headers_of(parser, data).clear()
    assert headers_of(parser, data) == decode_table(data, 0, len(data))


def test_what_a_parser_remembers_is_bounded() -> None:
    parser = PropertiesParser()
    for number in range(20_000):
        parser.text(b"%0200d" % number)
        headers_of(
            parser, entry(b"a" * 200, b"I" + struct.pack(">i", number)) + DEADLINE + b"\x00" * 8
        )
    assert held(parser) < 4 * 2**20


def test_a_long_text_is_not_remembered() -> None:
    parser = PropertiesParser()
    before = held(parser)
    parser.text(b"x" * 100_000)
    headers_of(
        parser, entry(b"a", b"S" + struct.pack(">I", 9999) + b"x" * 9999) + DEADLINE + b"\x00" * 8
    )
    assert held(parser) < before + 1000
