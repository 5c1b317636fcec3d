"""What a process holds: memory, file descriptors, tasks. After a soak it is no more than before."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MORE_MB: Final = 16.0
"""Megabytes by which memory may grow in all: allocators keep some of a peak."""
_MORE_MB_A_MINUTE: Final = 1.0
_MORE_FILES: Final = 16
"""A store keeps as many connections to its Redis as were in use at once, up to so many."""
_MORE_OBJECTS: Final = 1.2
"""By which factor the number of objects may differ."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """One look, when nothing is under way."""

    rss: float
    """Megabytes of memory."""
    objects: int
    """Those that the garbage collector knows."""
    files: int
    """Open file descriptors."""
    tasks: int

    @classmethod
    def now(cls) -> Self:
        """That of this process, in its event loop (Linux)."""
        gc.collect()
        _give_back()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            rss=pages * _PAGE / 1e6,
            objects=len(gc.get_objects()),
            files=len(list(Path("/proc/self/fd").iterdir())),
            tasks=len(asyncio.all_tasks()),
        )

    def __str__(self) -> str:
        return f"{self.rss:.1f} MB, {self.objects} objects, {self.files} files, {self.tasks} tasks"


def _give_back() -> None:
    """Have the C library return what is free: it keeps much of a peak."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def leaks(looks: list[Footprint], minutes: float) -> list[str]:
    """What grew from look to look, in words; the first look is after the first load."""
    first, last = looks[0], looks[-1]
    found = []
    allowed = _MORE_MB + _MORE_MB_A_MINUTE * minutes
    if min(look.rss for look in looks[-2:]) > first.rss + allowed:
        found.append(f"memory grew from {first.rss:.1f} to {last.rss:.1f} MB")
    if last.objects > first.objects * _MORE_OBJECTS + 2_000:
        found.append(f"objects grew from {first.objects} to {last.objects}")
    if last.files > first.files + _MORE_FILES:
        found.append(f"file descriptors grew from {first.files} to {last.files}")
    if last.tasks > first.tasks:
        found.append(f"tasks grew from {first.tasks} to {last.tasks}")
    return found
