"""What happened in a run, as a check sum and, if asked for, as lines of text."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final, TextIO
from zlib import crc32

_READ: Final = struct.Struct(">dI").pack
"""The time and the number of who read."""
_SHOWN: Final = 48
"""Bytes of a read that a line shows."""


class Trace:
    """Two runs that made the same trace did the same, to the last byte.

    :param file: gets a line for each event; None for the check sum only.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._sum = blake2b(digest_size=16)
        self._file = file

    def note(self, now: float, who: str, what: str) -> None:
        """Something happened."""
        line = f"{now:.6f} {who} {what}\n"
        self._sum.update(line.encode())
        if self._file is not None:
            self._file.write(line)

    def read(self, now: float, number: int, who: str, data: bytes) -> None:
        """A process has read these bytes.

        :param number: that of its end of the connection.
        """
        self._sum.update(_READ(now, number) + data)
        if self._file is not None:
            shown = f"{crc32(data):08x} {data[:_SHOWN].hex()}"
            self._file.write(f"{now:.6f} {who} reads {len(data)} bytes: {shown}\n")

    def digest(self) -> str:
        """The check sum of all so far."""
        return self._sum.hexdigest()
