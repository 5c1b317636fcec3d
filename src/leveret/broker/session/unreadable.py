"""Bytes that are no AMQP, in the codes and words in which RabbitMQ complains of them."""

from __future__ import annotations

from leveret.amqp.codes import ReplyCode
from leveret.errors import ProtocolError


class Unreadable(ProtocolError):
    """Bytes that are no AMQP; `blamed` are class and method of what they stand in, or zeros."""

    def __init__(self, code: ReplyCode, text: str, index: int = 0) -> None:
        super().__init__(code, text)
        self.blamed = (index >> 16, index & 0xFFFF)


def undecodable(index: int, fields: bytes) -> Unreadable:
    """A method whose fields do not fit in their frame, or do not fill it."""
    return Unreadable(ReplyCode.FRAME_ERROR, f"FRAME_ERROR - cannot decode {octets(fields)}", index)


def octets(data: bytes) -> str:
    """Bytes as RabbitMQ's texts show them."""
    if not data:
        return "<<>>"
    if all(32 <= octet < 127 for octet in data):
        return f'<<"{data.decode("ascii")}">>'
    return f"<<{','.join(map(str, data[:128]))}>>"


def frame_error(kind: int, what: str, payload: bytes = b"") -> Unreadable:
    """A frame that is none, or holds what cannot be."""
    return Unreadable(
        ReplyCode.FRAME_ERROR,
        f"FRAME_ERROR - type {kind}, all octets = {octets(payload)}: {what}",
    )


def unexpected(what: str, index: int = 0) -> Unreadable:
    """Another frame than was due."""
    return Unreadable(ReplyCode.UNEXPECTED_FRAME, f"UNEXPECTED_FRAME - {what}", index)
