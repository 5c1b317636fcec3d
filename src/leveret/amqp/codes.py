"""Numbers of AMQP 0-9-1: reply codes, frame types, and the methods that are parsed by hand."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""The eight bytes that open a connection (section 4.2.2)."""

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE

FRAME_MIN_SIZE: Final = 4096
"""Bytes of a frame that every peer must accept, before tuning and after (section 4.2.3)."""

BASIC: Final = 60
BASIC_PUBLISH: Final = BASIC << 16 | 40
BASIC_DELIVER: Final = BASIC << 16 | 60
BASIC_ACK: Final = BASIC << 16 | 80
BASIC_NACK: Final = BASIC << 16 | 120


class ReplyCode(IntEnum):
    """Why a channel or connection is closed (section 1.1 and RabbitMQ's errata)."""

    SUCCESS = 200
    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541
