"""What bounds the broker: how large, how many, how long, how much memory."""

from __future__ import annotations

from collections.abc import Callable

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
    """Bytes of messages above which publishers are blocked (connection.blocked)."""
    output: int = 1024 * 1024
    """Bytes that may wait for one connection before it gets no messages and is not read."""
    handshake_timeout: float = 10.0
    """Seconds from the first byte of a connection to connection.open-ok."""
    send_timeout: float = 15.0
    """Seconds that a connection may take nothing of what waits for it before it is dropped."""
    connections: int = 4096
    """Connections at once."""


class Memory:
    """How much the broker's messages weigh, in bytes, and whether that is too much.

    `used` is added to by whoever keeps a message; `watch` looks at it, once per read.
    """

    __slots__ = ("_forced", "_high", "_on_alarm", "alarmed", "used")

    def __init__(self, high: int, on_alarm: Callable[[bool], None]) -> None:
        self.used = 0
        self.alarmed = False
        self._high = high
        self._forced = False
        self._on_alarm = on_alarm

    def force(self, alarmed: bool) -> None:
        """Raise the alarm whatever is used, or no longer."""
        self._forced = alarmed
        self.watch()

    def watch(self) -> None:
        """Raise the alarm or clear it, where that is due."""
        alarmed = self._forced or self.used > self._high
        if alarmed != self.alarmed:
            self.alarmed = alarmed
            self._on_alarm(alarmed)
