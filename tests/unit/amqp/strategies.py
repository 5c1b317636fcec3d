"""What the AMQP tests draw: properties, field tables, conversations, and cuts through them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, pairwise
from typing import Any

import pamqp.commands as amqp
import pamqp.encode
import pamqp.frame
from hypothesis import settings
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from leveret.amqp.properties import Properties

FAST = settings(max_examples=100, deadline=None, derandomize=True)
"""The same 100 examples in every run: a red test stays red until it is mended."""

MAX_SECONDS = 0xFFFF_FFFF
"""Up to here a timestamp is in seconds for pamqp; it takes a larger one for milliseconds."""

CONTENT_METHODS = (amqp.Basic.Deliver, amqp.Basic.Publish, amqp.Basic.Return, amqp.Basic.GetOk)

# A short string is at most 255 bytes long, and one character at most 4.
short_texts = st.text(st.characters(codec="utf-8"), max_size=63)
named_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=63)
# pamqp lets an exchange's name be 127 characters of ASCII only.
exchanges = st.text("abcXYZ019.:_-", max_size=127)
octets = st.integers(0, 255)
tags = st.integers(0, 2**63 - 1)
channels = st.integers(0, 65_535)
bodies = st.binary(max_size=200)

_moments = st.integers(0, MAX_SECONDS).map(lambda s: datetime.fromtimestamp(s, tz=UTC))
_decimals = st.builds(
    lambda mantissa, scale: Decimal(mantissa).scaleb(-scale),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 255),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=32, allow_nan=False),
    _decimals,
    _moments,
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.binary(max_size=40).map(bytearray),
)
_keys = st.text(st.characters(codec="utf-8"), max_size=12)
values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=5,
)
tables = st.dictionaries(_keys, values, max_size=4)
"""Tables of whatever pamqp can write."""


def _packed(kind: bytes, layout: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return numbers.map(lambda number: kind + struct.pack(layout, number))


def _long(kind: bytes, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return contents.map(lambda content: kind + struct.pack(">I", len(content)) + content)


def entry(name: bytes, value: bytes) -> bytes:
    """One field of a table: its name, then its type octet and value."""
    return bytes((len(name),)) + name + value


def _entries(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    named = st.builds(entry, _keys.map(str.encode), inner)
    return st.lists(named, max_size=4).map(b"".join)


raw_values: st.SearchStrategy[bytes] = st.recursive(
    st.one_of(
        _packed(b"t", ">B", octets),
        _packed(b"b", ">b", st.integers(-128, 127)),
        _packed(b"B", ">B", octets),
        _packed(b"s", ">h", st.integers(-(2**15), 2**15 - 1)),
        _packed(b"u", ">H", st.integers(0, 2**16 - 1)),
        _packed(b"I", ">i", st.integers(-(2**31), 2**31 - 1)),
        _packed(b"i", ">I", st.integers(0, 2**32 - 1)),
        _packed(b"l", ">q", st.integers(-(2**63), 2**63 - 1)),
        _packed(b"L", ">q", st.integers(-(2**63), 2**63 - 1)),
        _packed(b"f", ">f", st.floats(width=32, allow_nan=False)),
        _packed(b"d", ">d", st.floats(allow_nan=False)),
        _packed(b"T", ">Q", st.integers(0, MAX_SECONDS)),
        st.binary(min_size=5, max_size=5).map(b"D".__add__),
        _long(b"S", st.binary(max_size=40)),
        _long(b"x", st.binary(max_size=40)),
        st.sampled_from((b"V", b"\x00")),
    ),
    lambda inner: (
        _long(b"A", st.lists(inner, max_size=4).map(b"".join)) | _long(b"F", _entries(inner))
    ),
    max_leaves=5,
)
"""A field of any type that peers are known to write, more than pamqp writes."""

raw_tables = _entries(raw_values)
"""The entries of a table, without its length."""

_chosen: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(Properties.__struct_fields__, named_texts)
    | {"delivery_mode": octets, "priority": octets}
    | {"headers": tables, "timestamp": st.integers(0, MAX_SECONDS)},
)
properties = _chosen.map(lambda chosen: Properties(**chosen))
"""Any combination of properties; no empty texts, which pamqp takes for absent ones."""


def pamqp_properties(ours: Properties) -> amqp.Basic.Properties:
    """The same properties as pamqp has them."""
    theirs = amqp.Basic.Properties()
    for name in Properties.__struct_fields__:
        value = getattr(ours, name)
        if value is not None:
            if name == "timestamp":
                value = datetime.fromtimestamp(value, tz=UTC)
            setattr(theirs, "message_type" if name == "type" else name, value)
    return theirs


def _content(
    method: st.SearchStrategy[Any],
) -> st.SearchStrategy[list[pamqp.frame.FrameTypes]]:
    """The frames of a method and its content, the body cut into some frames."""

    def frames(method: Any, ours: Properties, chunks: list[bytes]) -> list[Any]:
        size = sum(map(len, chunks))
        header = ContentHeader(body_size=size, properties=pamqp_properties(ours))
        return [method, header, *map(ContentBody, chunks)]

    chunks = st.lists(st.binary(min_size=1, max_size=60), max_size=3)
    return st.builds(frames, method, properties, chunks)


messages = st.one_of(
    _content(
        st.builds(amqp.Basic.Deliver, short_texts, tags, st.booleans(), exchanges, short_texts)
    ),
    _content(
        st.builds(
            amqp.Basic.Publish,
            st.just(0),
            exchanges,
            short_texts,
            st.booleans(),
            st.booleans(),
        )
    ),
    _content(st.builds(amqp.Basic.Return, st.just(312), short_texts, exchanges, short_texts)),
    _content(st.builds(amqp.Basic.GetOk, tags, st.booleans(), exchanges, short_texts, octets)),
)

_methods = st.one_of(
    st.builds(amqp.Basic.Ack, tags, st.booleans()),
    st.builds(amqp.Basic.Nack, tags, st.booleans(), st.booleans()),
    st.builds(amqp.Basic.ConsumeOk, short_texts),
    st.builds(amqp.Basic.Cancel, short_texts, st.booleans()),
    st.builds(amqp.Basic.Reject, tags, st.booleans()),
    st.builds(amqp.Channel.Close, st.just(404), short_texts, st.just(50), st.just(10)),
    st.builds(amqp.Connection.Blocked, short_texts),
    st.builds(amqp.Queue.DeclareOk, exchanges, octets, octets),
    st.builds(amqp.Queue.Declare, st.just(0), st.just("q"), arguments=tables),
    st.builds(amqp.Confirm.SelectOk),
).map(lambda method: [method])


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """The bytes of a valid stream: methods and contents of several channels, interleaved."""
    waiting = {
        channel: list(chain.from_iterable(units))
        for channel, units in draw(
            st.dictionaries(
                st.integers(1, 65_535),
                st.lists(messages | _methods, min_size=1, max_size=3),
                min_size=1,
                max_size=3,
            )
        ).items()
    }
    stream = b""
    while waiting:
        channel = draw(st.sampled_from(sorted(waiting)))
        if channel % 5 == 0:
            stream += pamqp.frame.marshal(Heartbeat(), 0)
        stream += pamqp.frame.marshal(waiting[channel].pop(0), channel)
        if not waiting[channel]:
            del waiting[channel]
    return stream


def cuts(stream: bytes) -> st.SearchStrategy[list[bytes]]:
    """The stream in pieces, as a socket may hand it out."""
    return st.lists(st.integers(0, len(stream)), max_size=8).map(
        lambda places: _cut(stream, sorted(places))
    )


def _cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *places, len(stream)]
    return [stream[start:stop] for start, stop in pairwise(edges)]
