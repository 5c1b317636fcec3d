"""A program that serves `Counted` until it is killed, for the test of figures.

Its arguments: the broker's URL, the diary, and this server's name in it. It prints "serving"
when it takes calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress

import leveret
from tests.faults.counted import Counted
from tests.faults.diary import Diary
from tests.faults.scene import SOON


async def main() -> None:
    url, path, name = sys.argv[1:]
    async with (
        leveret.connect(url, name=name, reconnect=SOON) as rabbit,
        rabbit.serving(Counted(Diary(path, name))),
    ):
        print("serving", flush=True)
        parent, end = os.getppid(), asyncio.Event()
        while os.getppid() == parent:  # nobody is left without its test
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await end.wait()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    leveret.run(main())
