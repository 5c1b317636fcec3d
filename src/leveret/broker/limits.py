"""The limits of a broker: sizes, numbers, times, memory."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one broker."""

    max_message_size: int = 128 * 1024 * 1024
    """Bytes of the largest message body; the default is RabbitMQ's."""
    frame_max: int = 131_072
    """Bytes of the largest frame."""
    channel_max: int = 2047
    """Channels of one connection."""
    heartbeat: int = 60
    """Seconds of the heartbeat interval that the broker proposes; 0 for none."""
    memory: int = 512 * 1024 * 1024
    """Bytes of messages above which publishers are blocked (connection.blocked).

    Messages of which only a part has come may take as much again.
    """
    output: int = 1024 * 1024
    """Bytes that may wait for one client. Beyond that it gets no messages and is not read."""
    handshake_timeout: float = 10.0
    """Seconds from the first byte of a connection to connection.open-ok."""
    send_timeout: float = 15.0
    """Seconds after which a client is dropped that takes nothing of what waits for it."""
    connections: int = 4096
    """Connections that may be open at once."""
