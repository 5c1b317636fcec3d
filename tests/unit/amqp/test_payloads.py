"""Method payloads: each method of the table as pamqp writes and reads it, and strictly read.

pamqp deviates from the specification where the tests say so.
"""

from __future__ import annotations

import struct
from typing import Any

import pamqp.commands
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp.codes import ReplyCode
from leveret.amqp.methods import (
    METHODS,
    Access,
    AMQPMethod,
    Basic,
    Channel,
    Connection,
    Exchange,
    Queue,
)
from leveret.amqp.payloads import decode_method, encode_method
from leveret.errors import ProtocolError
from tests.unit.amqp.strategies import FAST, tables

MALFORMED = (ValueError, IndexError, struct.error)
"""What the parser takes for a malformed frame."""

texts = st.text(st.characters(codec="utf-8"), max_size=63)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Bit": st.booleans(),
    "Octet": st.integers(0, 255),
    "Short": st.integers(0, 2**16 - 1),
    "Long": st.integers(0, 2**32 - 1),
    "LongLong": st.integers(0, 2**63 - 1),  # pamqp takes it for signed; AMQP has it unsigned
    "ShortStr": texts,
    "LongStr": texts,
    "Table": tables,
}


def _made(kind: type[AMQPMethod]) -> st.SearchStrategy[AMQPMethod]:
    given_ones = {name: VALUES[type_] for name, type_ in kind.fields if name not in kind.reserved}
    return st.fixed_dictionaries(given_ones).map(lambda fields: kind(**fields))


known = st.sampled_from([METHODS[index] for index in pamqp.commands.INDEX_MAPPING]).flatmap(_made)
"""Every method that pamqp knows."""


def written_by_pamqp(ours: AMQPMethod) -> bytes:
    """The payload as pamqp packs it, which has rules of its own for names: here it has none."""
    kind: Any = pamqp.commands.INDEX_MAPPING[ours.index]
    unchecked: Any = type(kind.__name__, (kind,), {"validate": lambda self: None})
    theirs = unchecked.__new__(unchecked)
    for field, (name, _) in zip(kind.__slots__, ours.fields, strict=True):
        setattr(theirs, field, getattr(ours, name))
    return pamqp.frame.marshal(theirs, 1)[7:-1]


def read(payload: bytes) -> AMQPMethod:
    return decode_method(payload, 0, len(payload))


@FAST
@given(known)
def test_every_method_is_written_as_pamqp_writes_it(method: AMQPMethod) -> None:
    assert encode_method(method) == written_by_pamqp(method)


@pytest.mark.filterwarnings("ignore:This command is deprecated")  # pamqp's word on two of them
@FAST
@given(known)
def test_every_method_is_read_as_pamqp_reads_it(method: AMQPMethod) -> None:
    payload = written_by_pamqp(method)
    head = struct.pack(">BHI", 1, 1, len(payload))
    _, _, theirs = pamqp.frame.unmarshal(head + payload + b"\xce")
    ours = read(payload)
    for field, (name, _) in zip(theirs.__slots__, ours.fields, strict=True):  # type: ignore[union-attr]
        assert getattr(ours, name) == getattr(theirs, field)
    assert ours == method


@FAST
@given(known | _made(Access.Request) | _made(Access.RequestOk), st.binary(max_size=20))
def test_a_method_comes_back_from_the_middle_of_a_buffer(method: AMQPMethod, around: bytes) -> None:
    payload = encode_method(method)
    data = around + payload + around
    assert decode_method(data, len(around), len(around) + len(payload)) == method


@FAST
@given(known, st.data())
def test_a_method_cut_short_is_malformed(method: AMQPMethod, data: st.DataObject) -> None:
    payload = encode_method(method)
    stop = data.draw(st.integers(0, len(payload) - 1))
    for behind in (b"", b"\xce" + bytes(300)):  # the next frame's bytes are not to be taken in
        with pytest.raises(MALFORMED):
            decode_method(payload[:stop] + behind, 0, stop)


@FAST
@given(known, st.binary(min_size=1, max_size=9))
def test_surplus_bytes_are_malformed(method: AMQPMethod, surplus: bytes) -> None:
    """pamqp lets them pass."""
    with pytest.raises(MALFORMED):
        read(encode_method(method) + surplus)


@FAST
@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=60))
def test_whatever_bytes_come_they_are_a_method_or_malformed(index: int, rest: bytes) -> None:
    try:
        method = read(struct.pack(">I", index) + rest)
    except MALFORMED:
        return
    assert type(method) is METHODS[index]


@pytest.mark.parametrize("index", [0, 10 << 16 | 99, 61 << 16 | 10, 0xFFFF_FFFF])
def test_a_method_that_amqp_does_not_have_is_an_invalid_command(index: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown method {index & 0xFFFF} of") as caught:
        read(struct.pack(">I", index))
    assert caught.value.reply_code == ReplyCode.COMMAND_INVALID


@pytest.mark.parametrize("name", ["a=b?", "käfer", "\udc80", "x" * 255, "\n"])
def test_names_of_any_bytes_are_written_as_they_were_read(name: str) -> None:
    """pamqp has rules for what a queue may be called, and cannot keep what is not UTF-8."""
    made = Queue.DeclareOk(queue=name, message_count=1, consumer_count=2)
    assert read(encode_method(made)) == made


def test_a_delivery_tag_has_64_bits() -> None:
    """pamqp reads it as signed."""
    reject = Basic.Reject(delivery_tag=2**64 - 1)
    assert encode_method(reject)[4:12] == b"\xff" * 8
    assert read(encode_method(reject)) == reject


def test_bits_share_an_octet_from_its_low_end() -> None:
    declare = Queue.Declare(queue="q", durable=True, nowait=True)
    assert encode_method(declare)[8:9] == b"\x12"
    access = Access.Request(realm="/data", passive=False, read=False)
    assert encode_method(access) == b"\x00\x1e\x00\x0a\x05/data\x0c"


def test_surplus_bits_of_an_octet_are_ignored() -> None:
    """As RabbitMQ ignores them."""
    assert read(encode_method(Channel.Flow(active=False))[:-1] + b"\xfe") == Channel.Flow(
        active=False
    )


def test_reserved_fields_are_written_empty_and_ignored_when_read() -> None:
    """pamqp writes "0" into channel.open, where AMQP 0-9-1 reserves an empty string."""
    assert encode_method(Channel.Open()) == b"\x00\x14\x00\x0a\x00"
    assert read(b"\x00\x14\x00\x0a\x010") == Channel.Open()
    assert read(b"\x00\x0a\x00\x28\x01/\x03cap\x01") == Connection.Open(virtual_host="/")
    ticket = b"\x00\x32\x00\x1e\x00\x65\x01q\x00"
    assert read(ticket) == Queue.Purge(queue="q")


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue="q" * 256),
        Basic.Qos(prefetch_count=2**16),
        Basic.Qos(prefetch_count=-1),
        Basic.Reject(delivery_tag=2**64),
        Connection.Start(mechanisms="", version_major=256),
    ],
)
def test_a_value_that_does_not_fit_in_its_field_is_refused(method: AMQPMethod) -> None:
    with pytest.raises(ValueError, match=r"at most 255 bytes|cannot be"):
        encode_method(method)


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue=5),  # type: ignore[arg-type]
        Connection.SecureOk(response=None),  # type: ignore[arg-type]
        Queue.Declare(arguments={"x": object()}),
        Exchange.Declare(exchange="x", arguments=None),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_the_wrong_type_is_refused(method: AMQPMethod) -> None:
    with pytest.raises(TypeError):
        encode_method(method)
