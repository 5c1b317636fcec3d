"""Keeps the memory of large messages in the process, for the messages that follow.

The allocator of glibc takes large blocks from the system and gives them back once they are free.
The system clears each new block page by page: for a body of 1 MB that costs more than all the rest
of the call. The size above which glibc does so grows to that of the largest such block that was
freed, and twice as much free memory stays with the process (mallopt(3), M_MMAP_THRESHOLD). So one
block is taken and freed here, without being touched. Other allocators are not affected.
"""

from __future__ import annotations

from functools import cache
from typing import Final

BLOCK: Final = 8 * 1024 * 1024
"""Bytes up to which blocks are used again. At most twice as many free bytes stay allocated."""


@cache
def keep_large_buffers() -> None:
    """Have blocks of up to `BLOCK` bytes used again. Does nothing from the second time on."""
    bytearray(BLOCK)
