"""Bodies in which arrays and tables travel out of band, and all else as MessagePack.

In the MessagePack, an array or a table is a value of an extension type that names its buffer. A
writer keeps views of the bytes that are to be sent; what a reader makes are views of the body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from msgspec.msgpack import Ext

from leveret.body_parts import Body
from leveret.codec.arrays import ArrayHead, array_type, read_array, write_array
from leveret.codec.buffered_types import EXTRA, buffered_class, kind_of
from leveret.codec.buffers import Buffer, laid_out, taken_apart
from leveret.codec.content_type import MSGPACK
from leveret.codec.kindred import plain
from leveret.codec.special_fields import joined_coder, special_fields, wire_struct
from leveret.codec.special_types import special_type
from leveret.codec.tables import frame_of, only_batch, read_table, series_of, write_stream

__all__ = ["ARRAY", "TABLE", "Coder", "any_coder", "argument_coder", "coder", "result_coder"]

Coder = tuple[Callable[[Any], Body], Callable[[bytes], Any]]
"""The checking encoder and the decoder of the same values."""

ARRAY: Final = 1
"""The extension type of an array: its data is an `ArrayHead`."""
TABLE: Final = 2
"""That of a stream of Arrow's IPC format: its data is the number of its buffer."""

_read_head = msgspec.msgpack.Decoder(ArrayHead).decode
_read_number = msgspec.msgpack.Decoder(int).decode
_write = msgspec.msgpack.Encoder().encode


def argument_coder(parameters: type[msgspec.Struct]) -> Coder:
    """Return the checking encoder and the decoder of a method's arguments."""
    special = special_fields(parameters)
    if not special:
        return coder(parameters)
    return joined_coder(MSGPACK, parameters, special, coder(wire_struct(parameters, special)))


def result_coder(result: Any) -> Coder:
    """Return the checking encoder and the decoder of a method's result."""
    special = special_type(result)
    if special is None:
        return coder(result)
    encode, decode = special.coder(MSGPACK, "$")
    return (
        lambda value: laid_out(encode(value), []),
        lambda body: decode(bytes(taken_apart(body)[0])),
    )


def coder(annotation: Any) -> Coder:
    """Return the checking encoder and the decoder of values of a type."""

    def encode(value: Any) -> Body:
        outgoing = _Outgoing(plain)
        packed = msgspec.msgpack.Encoder(enc_hook=outgoing.take).encode(value)
        # Nothing else checks nested values. No buffer is read: each stands for the value itself.
        msgspec.msgpack.Decoder(annotation, ext_hook=outgoing.give, dec_hook=_fit).decode(packed)
        return laid_out(packed, outgoing.buffers)

    def decode(body: bytes) -> Any:
        packed, buffers = taken_apart(body)
        incoming = _Incoming(buffers)
        return msgspec.msgpack.Decoder(
            annotation, ext_hook=incoming.read, dec_hook=incoming.fit
        ).decode(packed)

    return encode, decode


def any_coder(other: Callable[[Any], Any]) -> Coder:
    """Return the encoder and the decoder of plain values, arrays and tables, without a contract.

    A DataFrame arrives as a Table, as nothing says what it was.

    :param other: what encodes other values that MessagePack does not have.
    """

    def encode(value: Any) -> Body:
        outgoing = _Outgoing(other)
        packed = msgspec.msgpack.Encoder(enc_hook=outgoing.take).encode(value)
        return laid_out(packed, outgoing.buffers)

    return encode, coder(Any)[1]


class _Outgoing:
    """The arrays and tables of one body that is written."""

    def __init__(self, other: Callable[[Any], Any]) -> None:
        self.buffers: list[Buffer] = []
        self._other = other
        self._values: dict[tuple[int, bytes], Any] = {}

    def take(self, value: Any) -> Any:
        """Keep the bytes of a value, and return what stands for it."""
        kind = kind_of(type(value))
        if kind is None:
            return self._other(value)
        number = len(self.buffers)
        if kind == "ndarray":
            head, view = write_array(value, number)
            code, data, buffer = ARRAY, _write(head), cast("Buffer", (view,))
        else:
            code, data, buffer = TABLE, _write(number), write_stream(value)
        self.buffers.append(buffer)
        self._values[code, data] = value
        return Ext(code, data)

    def give(self, code: int, data: memoryview) -> Any:
        """Return the value that something stands for."""
        return self._values[code, bytes(data)]


class _Incoming:
    """The arrays and tables of one body that is read."""

    def __init__(self, buffers: list[memoryview]) -> None:
        self._buffers = dict(enumerate(buffers))

    def read(self, code: int, data: memoryview) -> Any:
        """Return the array or the table that something stands for.

        :raises ValueError: if its bytes are none.
        """
        try:
            if code == ARRAY:
                head = _read_head(data)
                return read_array(head, self._take(head.buffer))
            if code == TABLE:
                return read_table(self._take(_read_number(data)))
        except ImportError as error:
            raise ValueError(f"to read the body takes {error.name}; {EXTRA}") from error
        raise ValueError(f"the body has a value of the unknown extension type {code}")

    def fit(self, annotation: Any, value: Any) -> Any:
        """Return a value as what its annotation says, if it can be that."""
        kind = buffered_class(annotation)
        if kind_of(type(value)) == "Table":
            if kind == "DataFrame":
                return frame_of(value)
            if kind == "Series":
                return series_of(value)
            if kind == "RecordBatch":
                return only_batch(value)
        return _fit(annotation, value)

    def _take(self, number: int) -> memoryview:
        """Return a buffer, each only once: of many tables that share one, each may be large."""
        try:
            return self._buffers.pop(number)
        except KeyError:
            raise ValueError(f"the body has no buffer {number}, or it is used twice") from None


def _fit(annotation: Any, value: Any) -> Any:
    """Return an array that is as its annotation says; msgspec checks the classes of all values."""
    if buffered_class(annotation) == "ndarray" and kind_of(type(value)) == "ndarray":
        array_type(annotation).check(value)
    return value
