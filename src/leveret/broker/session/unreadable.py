"""Complaints about bytes that are not AMQP, in RabbitMQ's codes and words. Pure."""

from __future__ import annotations

from leveret.amqp.codes import ReplyCode
from leveret.errors import ProtocolError


class Unreadable(ProtocolError):
    """Bytes that are not AMQP."""

    def __init__(self, code: ReplyCode, text: str, index: int = 0) -> None:
        super().__init__(code, text)
        self.blamed = (index >> 16, index & 0xFFFF)
        """The ids of the class and the method in which they were met; zeros if there is none."""


def undecodable(index: int, fields: bytes) -> Unreadable:
    """501: the fields of a method do not end where its frame does."""
    return Unreadable(ReplyCode.FRAME_ERROR, f"FRAME_ERROR - cannot decode {octets(fields)}", index)


def octets(data: bytes) -> str:
    """Bytes as RabbitMQ shows them in its texts."""
    if not data:
        return "<<>>"
    if all(32 <= octet < 127 for octet in data):
        return f'<<"{data.decode("ascii")}">>'
    return f"<<{','.join(map(str, data[:128]))}>>"


def frame_error(kind: int, what: str, payload: bytes = b"") -> Unreadable:
    """501: a frame is malformed."""
    return Unreadable(
        ReplyCode.FRAME_ERROR,
        f"FRAME_ERROR - type {kind}, all octets = {octets(payload)}: {what}",
    )


def unexpected(what: str, index: int = 0) -> Unreadable:
    """505: another frame than the one that was due."""
    return Unreadable(ReplyCode.UNEXPECTED_FRAME, f"UNEXPECTED_FRAME - {what}", index)
