"""`leveret top` on a terminal: what it draws, and how it leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.behaviour.patience import PATIENCE, until

_ENTER = b"\x1b[?1049h\x1b[?25l"
_LEAVE = b"\x1b[?25h\x1b[?1049l"


async def test_it_leaves_the_screen_when_it_is_stopped_or_told_to_end(broker_url: str) -> None:
    ours, theirs = os.openpty()  # it says that it has 0 columns, as a serial console does
    drawn = bytearray()
    changed = asyncio.Event()

    def read() -> None:
        drawn.extend(os.read(ours, 65_536))
        changed.set()

    async def draws(what: bytes) -> None:
        while what not in drawn:
            changed.clear()
            await changed.wait()
        drawn.clear()

    loop = asyncio.get_running_loop()
    loop.add_reader(ours, read)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leveret", "top", "--url", broker_url), stdout=theirs
    )
    try:
        async with asyncio.timeout(3 * PATIENCE):  # processes of CI start slowly
            await draws(b"0 servers, 0 methods")
            process.send_signal(signal.SIGTSTP)
            await draws(_LEAVE)
            await until(lambda: _is_stopped(process.pid), "it has stopped")
            process.send_signal(signal.SIGCONT)
            await draws(_ENTER)
            process.terminate()
            await draws(_LEAVE)
            assert await process.wait() == -signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
