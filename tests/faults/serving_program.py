"""A program that serves `Work` until a signal ends it, for tests that kill servers.

Its arguments: the broker's URL, the diary, this server's name in it, the seconds of grace, and the
store of keys. It prints "serving" when it takes calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import leveret
from leveret.once import store_of
from tests.faults.diary import Diary
from tests.faults.one_way import Notes
from tests.faults.poison import Poison
from tests.faults.scene import SOON
from tests.faults.streams import Counting
from tests.faults.work import Errands, Keyed, Stages, Threaded, Work


async def main() -> None:
    url, path, name, grace, store = sys.argv[1:]
    diary = Diary(path, name)
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    async with (
        leveret.connect(url, reconnect=SOON, wait_for_broker=30) as rabbit,
        rabbit.serving(
            *(Work(diary), Keyed(diary), Threaded(diary), Errands(diary), Poison(diary)),
            *(Stages(diary), Notes(diary), Counting()),
            grace=float(grace),
            once=store_of(store),
        ),
    ):
        print("serving", flush=True)
        parent = os.getppid()
        while not end.is_set() and os.getppid() == parent:  # nobody is left without its test
            try:
                async with asyncio.timeout(1):
                    await end.wait()
            except TimeoutError:
                pass


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # of lost connections there are many
    leveret.run(main())
