"""The bounds that a broker keeps: how large, how many, how long, how much memory."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that one broker keeps."""

    max_message_size: int = 128 * 1024 * 1024
    """Bytes of the largest message body; RabbitMQ's default."""
    frame_max: int = 131_072
    """Bytes of the largest frame."""
    channel_max: int = 2047
    """Channels of one connection."""
    heartbeat: int = 60
    """Seconds; what the broker proposes. 0 for none."""
    memory: int = 512 * 1024 * 1024
    """Bytes of messages above which publishers are blocked (connection.blocked).

    As many again may be on their way: messages of which a part has come.
    """
    output: int = 1024 * 1024
    """Bytes that may wait for one connection before it gets no messages and is not read."""
    handshake_timeout: float = 10.0
    """Seconds from the first byte of a connection to connection.open-ok."""
    send_timeout: float = 15.0
    """Seconds that a connection may take nothing of what waits for it before it is dropped."""
    connections: int = 4096
    """Connections at once."""
