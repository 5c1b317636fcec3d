"""Streams that go on until a fault ends them; and a program that is the client of one of each kind.

The program's only argument is the broker's URL. It prints "under way" when more items of each
stream have moved than fit into its window, and goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Final, Literal, TypeAlias

import leveret
from leveret import CallError, Rabbit
from leveret.streaming.credit import WINDOW_ITEMS
from tests.behaviour.patience import until
from tests.faults.scene import SOON
from tests.faults.streams import Counting, Tally

Kind: TypeAlias = Literal["results", "upload", "dialogue", "resumed"]

KINDS: Final[tuple[Kind, ...]] = ("results", "upload", "dialogue", "resumed")
_ENDLESS: Final = 10**9
"""Items."""


class EndlessStream:
    """One stream, from the side of its client."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.tally = Tally()
        """What came of its results; nothing where there are none."""
        self.drawn = 0
        """How many items of its source were drawn."""
        self.open_sources = 0
        """How many sources were begun and not closed."""
        self.server = 0
        """The process id of the server that sent the last item, if it says so."""
        self.error: CallError | None = None
        """What it ended with."""
        self.leave = asyncio.Event()
        """Set: its consumer leaves at the next item."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.tally}, {self.drawn} items drawn, {self.error!r}"

    @property
    def is_under_way(self) -> bool:
        """Whether more has moved than fits into a window, and so each side has heard the other."""
        moved = self.drawn if self.kind == "upload" else self.tally.received
        return moved > WINDOW_ITEMS

    async def run(self, client: Rabbit) -> None:
        """Begin it, and go on until it ends."""
        counting = client.remote(Counting)
        try:
            match self.kind:
                case "results":
                    async for number, _ in counting.count(_ENDLESS, 0.0, 0):
                        self.tally.take(number)
                case "upload":
                    await counting.check(self._source())
                case "dialogue":
                    async for number in counting.echo(self._source()):
                        self.tally.take(number)
                case "resumed":
                    async for number, self.server in counting.follow(_ENDLESS, 0.0):
                        self.tally.take(number)
                        if self.leave.is_set():
                            return
        except CallError as error:
            self.error = error

    async def _source(self) -> AsyncIterator[int]:
        self.open_sources += 1
        try:
            while True:
                self.drawn += 1
                yield self.drawn
        finally:
            self.open_sources -= 1


async def main() -> None:
    parent = os.getppid()
    streams = [EndlessStream(kind) for kind in KINDS]
    async with leveret.connect(sys.argv[1], reconnect=SOON) as client, asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(stream.run(client))
        await until(lambda: all(stream.is_under_way for stream in streams), "all are under way")
        print("under way", flush=True)
        while True:
            await asyncio.sleep(1)
            if os.getppid() != parent:  # nobody is left without its test
                sys.exit(1)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    leveret.run(main())
