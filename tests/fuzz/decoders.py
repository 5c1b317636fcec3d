"""Every decoder that strangers' bytes reach, each with what must be true of it for any bytes.

A check returns where all is well; whatever it raises is a finding. The same checks are driven by
Hypothesis (`test_decoders.py`) and, with coverage for its guide, by atheris (`atheris_run.py`).
"""
# ruff: noqa: PT017 - whether it raises is open: if it does, this must be true

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from leveret.amqp.events import Event
from leveret.amqp.parser import Parser
from leveret.amqp.payloads import decode_method, encode_method
from leveret.amqp.properties import Properties, PropertiesParser, encode_properties
from leveret.amqp.tables import TableError, decode_table
from leveret.broker.model import packed
from leveret.broker.session.reading import BrokerParser
from leveret.broker.session.received import Published
from leveret.codec import DECODE_ERRORS, normal_content_type, untyped_codec
from leveret.errors import CallError, ContractError, DeclaredError, InvalidURL, ProtocolError
from leveret.transport.url import embedded_name, parse_url
from leveret.wire.failures import decode_failure, encode_failure
from leveret.wire.native.headers import bounce_reason, metadata_of
from tests.fuzz.choices import Choices
from tests.fuzz.nasty import CODECS, RAISES

Check = Callable[[bytes], None]

FRAME_MAX: Final = 4096
MAX_BODY: Final = 2048
MALFORMED: Final = (ValueError, IndexError, struct.error)
"""What the inner readers raise, as their docstrings say; the parser makes it a `ProtocolError`."""


# -- streams ---------------------------------------------------------------------------------------


def client_stream(data: bytes) -> None:
    """What a client reads: events or a `ProtocolError`, however the stream is cut."""
    choices = Choices(data)
    step = 1 + choices.number(64)
    stream = choices.rest()
    whole = _read(Parser(frame_max=FRAME_MAX, max_body=MAX_BODY), [stream])
    cut = _read(Parser(frame_max=FRAME_MAX, max_body=MAX_BODY), _pieces(stream, step))
    assert cut[1] == whole[1], f"the cuts decide the error: {whole[1]} and {cut[1]}"
    if whole[1] is None:
        assert cut[0] == whole[0], "the cuts decide what is read"


def _read(parser: Parser, pieces: list[bytes]) -> tuple[list[str], int | None]:
    events: list[Event] = []
    for piece in pieces:
        try:
            events += parser.receive(piece)
        except ProtocolError as error:
            assert str(error)
            return _comparable(events), error.reply_code
        _is_bounded(parser)
    return _comparable(events), None


def broker_stream(data: bytes) -> None:
    """What the broker reads: never an error, but `broken`; no more than it may hold."""
    choices = Choices(data)
    step = 1 + choices.number(64)
    stream = choices.rest()
    whole = _serve([stream])
    cut = _serve(_pieces(stream, step))
    assert cut[1] == whole[1], "the cuts decide whether it is wrong"
    assert cut[0] == whole[0], "the cuts decide what is read"


def _serve(pieces: list[bytes]) -> tuple[list[str], bool]:
    parser = BrokerParser(frame_max=FRAME_MAX, max_body=MAX_BODY)
    events: list[Any] = []
    for piece in pieces:
        events += parser.receive(piece)
        assert len(parser._rest) <= FRAME_MAX
        assert parser.held <= FRAME_MAX + MAX_BODY * max(len(parser._partial), 1)
        assert len(parser.tail) <= 12
    for event in events:
        if isinstance(event, Published):
            _hands_on(event.packed)
    return _comparable(events), parser.broken is not None


def _hands_on(properties: bytes) -> None:
    """Properties that were taken can be taken apart, put together again and added to."""
    fields = packed.split(properties)
    assert packed.join(fields) == properties
    table = fields.get(0x2000)
    if table is not None:
        packed.write_entries(packed.read_entries(table))
        packed.types(table)


def _pieces(stream: bytes, step: int) -> list[bytes]:
    return [stream[start : start + step] for start in range(0, len(stream), step)] or [b""]


def _is_bounded(parser: Parser) -> None:
    assert len(parser._rest) <= FRAME_MAX, "it holds more than a frame"
    for partial in parser._partial.values():
        assert len(partial.pieces) <= MAX_BODY, "it holds more than a message"


def _comparable(events: list[Any]) -> list[str]:
    """As text: NaN is not equal to itself."""
    return [repr(event) for event in events]


# -- parts of frames -------------------------------------------------------------------------------


def properties(data: bytes) -> None:
    """Properties read the same whatever was read before, and what was read can be written."""
    choices = Choices(data)
    before, raw = choices.piece(), choices.rest()
    used = PropertiesParser()
    for first in (before, raw):
        try:
            used.parse(first, 0, len(first))
        except MALFORMED:
            pass
    fresh = _properties(PropertiesParser(), raw)
    assert repr(_properties(used, raw)) == repr(fresh), "what was read before shows"
    assert repr(_properties(PropertiesParser(), raw + b"\xce" * 40, len(raw))) == repr(fresh), (
        "what stands behind them shows"
    )
    if fresh is not None:
        bare = msgspec.structs.replace(fresh, headers=None)
        again = encode_properties(bare)
        assert PropertiesParser().parse(again, 0, len(again)) == bare
        _hands_on(raw)


def _properties(parser: PropertiesParser, raw: bytes, stop: int | None = None) -> Properties | None:
    try:
        return parser.parse(raw, 0, len(raw) if stop is None else stop)
    except MALFORMED:
        return None


def table(data: bytes) -> None:
    """A table that is read can be read by all that look into headers, and handed on."""
    try:
        read = decode_table(data, 0, len(data))
    except (TableError, IndexError, struct.error):
        return
    assert isinstance(bounce_reason(read), str)
    metadata = metadata_of(read) or {}
    assert all(isinstance(text, str) for pair in metadata.items() for text in pair)
    assert isinstance(bounce_reason({"x-death": [read]}), str)
    metadata_of({"metadata": read})
    for content in read.values():
        # As a broker does with an x-death that a client made up.
        entry = b"\x00" + packed.value(content)
        decode_table(entry, 0, len(entry))


def method(data: bytes) -> None:
    """A payload is a method, which can be written again, or one of the documented errors."""
    for stop in (len(data), max(len(data) - 3, 0)):
        try:
            found = decode_method(data, 0, stop)
        except (ProtocolError, *MALFORMED):
            continue
        tables = [name for name, kind in found.fields if kind == "Table"]
        if not any(
            getattr(found, name) for name in tables
        ):  # which may hold what ours cannot write
            written = encode_method(found)
            assert decode_method(written, 0, len(written)) == found


# -- bodies ----------------------------------------------------------------------------------------


def codec(data: bytes) -> None:
    """A body decodes, or raises what is caught; what decodes can be sent on, and reads the same."""
    choices = Choices(data)
    made = CODECS[(choices.number(256) | choices.number(256) << 8) % len(CODECS)]
    body = choices.rest()
    for encode, decode in (
        (made.encode_result, made.decode_result),
        (made.encode_arguments, made.decode_arguments),
    ):
        try:
            value = decode(body)
        except DECODE_ERRORS as error:
            str(error)
        else:
            written = bytes(encode(value))
            again = decode(written)
            # Sorted, since sets have no order; the bytes first, since NaN is not equal to itself,
            # and arrays are compared item by item.
            assert sorted(bytes(encode(again))) == sorted(written) or again == value


def untyped(data: bytes) -> None:
    """A content type is known or a `ContractError`; a body without one decodes, or raises."""
    choices = Choices(data)
    content_type = choices.piece().decode("utf-8", "surrogateescape")
    body = choices.rest()
    try:
        known = normal_content_type(content_type)
    except ContractError as error:
        assert str(error)
        known = choices.one_of(("application/json", "application/msgpack", "text/plain"))
    try:
        untyped_codec(known).decode_result(body)
    except DECODE_ERRORS as error:
        str(error)


def failure(data: bytes) -> None:
    """An error's body is always an error of ours that says whether the handler ran."""
    error = decode_failure(data, RAISES, "shop.buy")
    assert isinstance(error, CallError)
    assert error.executed in {"no", "maybe", "yes"}
    assert error.method == "shop.buy"
    assert isinstance(str(error), str)
    assert repr(error)
    if isinstance(error, DeclaredError):
        assert RAISES[error.code] is type(error)
    # A server that passes it on to its own caller tells the same kind.
    again = decode_failure(encode_failure(error), RAISES, "shop.buy")
    assert again.executed == error.executed


# -- URLs ------------------------------------------------------------------------------------------

SECRET: Final = "s3kr1t"


def url(data: bytes) -> None:
    """A URL is an address or an `InvalidURL`; neither ever shows the password."""
    choices = Choices(data)
    scheme = choices.one_of(("amqp://", "amqps://", "AMQP://", "embedded://", "amqp:", ""))
    user, before, after = (_text(choices.piece()) for _ in range(3))
    at = choices.one_of(("@", "", ":5672@", "@@"))
    rest = _text(choices.rest())
    user, rest = user.replace(SECRET, ""), rest.replace(SECRET, "")  # atheris learns the word
    if (
        "@" not in at
    ):  # then what follows "?" is taken for an option, and "@" for this one, and shown
        user, before = (text.replace("?", "").replace("@", "") for text in (user, before))
    for written in (f"{scheme}{user}:{before}{SECRET}{after}{at}{rest}", f"{scheme}{rest}"):
        try:
            address = parse_url(written)
        except InvalidURL as error:
            assert SECRET not in str(error) + repr(error), f"{written!r} is told: {error}"
            assert error.__cause__ is None
        else:
            told = str(address) + repr(address)
            assert (SECRET in told) == (SECRET in written and SECRET not in address.password), (
                f"{written!r} shows its password: {told}"
            )
            assert parse_url(str(address)).hosts == address.hosts
        try:
            embedded_name(written)
        except InvalidURL as error:
            assert SECRET not in str(error)


def _text(piece: bytes) -> str:
    """As the environment's variables come: what is no UTF-8 is a surrogate escape."""
    return piece.decode("utf-8", "surrogateescape")


DECODERS: Final[dict[str, Check]] = {
    "client_stream": client_stream,
    "broker_stream": broker_stream,
    "properties": properties,
    "table": table,
    "method": method,
    "codec": codec,
    "untyped": untyped,
    "failure": failure,
    "url": url,
}
"""By the names that `python -m tests.fuzz.atheris_run` takes."""
