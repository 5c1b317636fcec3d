"""The diary: what the handlers really did, written by themselves, in whatever process they are."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

What = Literal["began", "ended", "broke off"]

_KINDS: Final[tuple[What, ...]] = ("began", "ended", "broke off")


@dataclass(slots=True)
class Entry:
    """What became of one call, by its key. Times are those of `time.time()`."""

    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    broke_off: list[float] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)

    @property
    def runs_now(self) -> bool:
        """Whether a handler is at it, as far as it could still say so."""
        return len(self.began) > len(self.ended) + len(self.broke_off)


class Diary:
    """A file to which any number of processes append lines.

    A line is one `write` to a file opened with O_APPEND, so lines of several writers do not mix,
    and what a process wrote before it was killed is there.
    """

    def __init__(self, path: Path | str, server: str = "server") -> None:
        self.path = Path(path)
        self.server = server
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, key: str, what: What) -> None:
        """Note that the handler of this call began, ended, or broke off."""
        line = f"{_KINDS.index(what)} {time.time():.6f} {self.server} {key!r}\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        """Write no more; twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def clear(self) -> None:
        """Begin anew; all writers go on."""
        os.truncate(self.path, 0)

    def read(self) -> dict[str, Entry]:
        """All that was written so far, by key."""
        entries: dict[str, Entry] = {}
        for line in self.path.read_text().splitlines():
            kind, when, server, key = line.split(" ", 3)
            entry = entries.setdefault(_unquoted(key), Entry())
            times = (entry.began, entry.ended, entry.broke_off)[int(kind)]
            times.append(float(when))
            if kind == "0":
                entry.servers.append(server)
        return entries


def _unquoted(key: str) -> str:
    # Keys are plain words; one that a fault has falsified stays as `repr` spells it.
    return key[1:-1]
