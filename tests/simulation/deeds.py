"""What clients do beside calling methods: each deed is done once, and judged when the run is over.

The kinds of deeds are in `streams.py` (streams of results, uploads, dialogues), `outliving.py`
(one-way requests, started calls), `keeping.py` (one-way requests that fail), `pipes.py`,
`asking.py` (calls of all servers) and `nesting.py` (calls whose handlers make calls).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol

from leveret import CallError, Rabbit
from tests.faults.diary import Entry
from tests.faults.judgement import GIVEN_UP, TOLD_AND_KILLED, could_not_say
from tests.simulation.plan import PlannedDeed
from tests.simulation.work import MemoryDiary

Broken = Literal[
    "lost",
    "hung",
    "ran_twice",
    "wrong_executed",
    "items_lost",
    "items_doubled",
    "started_lost",
    "pipes_lost",
    "one_way_lost",
]
"""Which part of the promise was not kept, as the verdict counts it."""

Counted = Literal["calls", "streams", "started", "pipes", "one_way"]
"""What the last line counts a deed as."""

HUNG: Final = 90.0
"""Seconds after which what has not ended hangs: a side of a stream that hears nothing of the other
gives it up after 30 s, and until then faults may go on."""


class Here(Protocol):
    """What a deed knows of the run that it is part of."""

    @property
    def now(self) -> float:
        """Seconds on the world's clock."""
        ...

    @property
    def diary(self) -> MemoryDiary:
        """What the handlers did."""
        ...

    def was_dropped(self, key: str, since: float) -> bool:
        """Whether the broker forgot a request since then because it was told to."""
        ...

    def is_kept(self, key: str) -> bool:
        """Whether a server has had the broker keep a failed request."""
        ...

    def paused(self, name: str, start: float, end: float) -> float:
        """The seconds of a span in which this process stood still."""
        ...

    def killed_at(self, name: str) -> float:
        """When this process was killed; infinity if it was not."""
        ...


@dataclass(slots=True)
class Attempt:
    """What a client has done so far of a deed."""

    began: float = 0.0
    ended: float = 0.0
    left: bool = False
    """Whether it went away: its process died, or it did not want to wait."""
    hung: bool = False
    error: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether it has an error, and none of a request that may have killed six servers."""
        return self.error is not None and not GIVEN_UP.search(str(self.error))


class Deed:
    """One of them.

    :param here: the run.
    """

    counted: ClassVar[Counted]
    """What the last line counts it as."""

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        self.planned = planned
        self.key = planned.key
        self.dice = random.Random(planned.seed)
        self.here = here
        self.at = Attempt()
        self.client = ""
        """The name of the client that did it."""

    def __str__(self) -> str:
        at = self.at
        took = f"{at.ended - at.began:.3f} s" if at.ended else "no end"
        error = at.error
        end = "well" if error is None else f"{type(error).__name__}({error})"
        if isinstance(error, CallError):
            end += f", executed={error.executed!r}, received={error.received}"
        if at.left:
            end = "left"
        return f"{self.key} ({self.what()}, {self.client}, {took}): {end}"

    def what(self) -> str:
        """What it does, in words."""
        raise NotImplementedError

    async def do(self, rabbit: Rabbit) -> None:
        """Do it."""
        raise NotImplementedError

    def judged(self) -> Iterator[tuple[Broken, str]]:
        """Which promises were broken, and how. Asked once all is over."""
        raise NotImplementedError

    @property
    def entry(self) -> Entry:
        """What its handler did."""
        return self.here.diary.entries.get(self.key, Entry())

    async def run(self, rabbit: Rabbit) -> None:
        """Do it, and note how it ended."""
        at = self.at
        at.began = self.here.now
        try:
            async with asyncio.timeout(HUNG) as limit:
                await self.do(rabbit)
        except asyncio.CancelledError:
            at.left = True
            raise
        except TimeoutError as error:
            at.hung, at.error = limit.expired(), error
        except Exception as error:
            at.error = error
        finally:
            at.ended = self.here.now

    def broken(self) -> Iterator[tuple[Broken, str]]:
        """Which promises were broken, and how."""
        at = self.at
        if at.hung:
            yield "hung", f"it has not ended after {HUNG:g} s"
            return
        if at.error is not None and not isinstance(at.error, CallError) and not self.is_own:
            yield "hung", f"it ended without a typed error: {at.error!r}"
        yield from self.judged()

    def allowed(self) -> Iterator[str]:
        """What of it the promise allows, though one would rather have it otherwise, by kind."""
        error = self.at.error
        if self.at.left:
            return
        if isinstance(error, CallError) and error.executed == "maybe":
            yield f"{self.planned.verb}, {type(error).__name__} maybe"
        if could_not_say(error, self.entry, self.here.killed_at(self.client)):
            yield TOLD_AND_KILLED

    @property
    def is_own(self) -> bool:
        """Whether its error is one that it raised itself."""
        return False

    def told_wrongly(self, entry: Entry) -> Iterator[tuple[Broken, str]]:
        """Whether what its error says of `executed` is not so."""
        error = self.at.error
        if self.at.left or not isinstance(error, CallError):
            return
        killed_at = self.here.killed_at(self.client)
        if error.executed == "no" and entry.began and not could_not_say(error, entry, killed_at):
            yield "wrong_executed", f"it ran: {entry}"
        if error.executed == "yes" and not entry.began:
            yield "wrong_executed", "it never ran"
