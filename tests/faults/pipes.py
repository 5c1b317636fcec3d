"""Pipes under faults: what became of each, compared with what the handlers of its stages did.

The promise: a pipe of idempotent stages has its result, if servers and brokers come back before its
deadline. One with keys runs each of its stages once at most. `executed` "no" means that no stage
ran, and a result that the last one ended.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass
from typing import Final

from leveret import CallError, Rabbit
from tests.faults.diary import Entry
from tests.faults.work import Stages

_TIMEOUT: Final = 45.0
"""Seconds to the deadline of a pipe: as for calls that must have a result, in `chaos`."""
_HUNG: Final = 10.0
"""Seconds after its deadline at which a pipe hangs, whatever the loop was late."""
STAGES: Final = ("one", "two", "three")


@dataclass(slots=True, kw_only=True)
class Piped:
    """One call of a pipe, and its end."""

    key: str
    keyed: bool
    """Whether each stage has a key, by which it runs once."""
    error: CallError | None = None

    def __str__(self) -> str:
        kind = "keyed" if self.keyed else "idempotent"
        error = self.error
        end = "a result"
        if error is not None:
            end = f"{error!r} at stage {error.stage}, executed={error.executed!r}"
        return f"pipe {self.key} ({kind}): {end}"


class PipeJudge:
    """Calls pipes, and judges them after the faults."""

    def __init__(self) -> None:
        self.pipes: list[Piped] = []
        self.lost = 0
        self.hung = 0
        self.ran_twice = 0
        self.wrong_executed = 0
        self.complaints: list[str] = []

    async def call(self, client: Rabbit, dice: random.Random) -> None:
        """Call one of either kind, and wait for its end."""
        keyed = dice.random() < 0.4
        pipe = Piped(key=f"pipe-{secrets.token_hex(6)}", keyed=keyed)
        stages = client.remote(Stages)
        caller = client.with_options(timeout=_TIMEOUT, wait_for_server=True)
        if keyed:
            made = caller.pipe(stages.one_once, stages.two_once, stages.three_once)
        else:
            made = caller.pipe(stages.one, stages.two, stages.three)
        self.pipes.append(pipe)
        try:
            async with asyncio.timeout(_TIMEOUT + _HUNG):
                result = await made(pipe.key)
        except CallError as error:
            pipe.error = error
        except TimeoutError:
            self._complain("hung", f"{pipe.key} has not ended {_HUNG:g} s after its deadline")
        else:
            if result != pipe.key:
                self._complain("lost", f"{pipe}: it is {result!r}")

    def compare(self, diary: dict[str, Entry]) -> None:
        """Judge all of them by what their handlers wrote."""
        for pipe in self.pipes:
            entries = [diary.get(f"{pipe.key}.{stage}", Entry()) for stage in STAGES]
            if pipe.keyed and any(len(entry.began) > 1 for entry in entries):
                self._complain("ran_twice", f"{pipe}: {entries}")
            if pipe.error is None:
                if not all(entry.ended for entry in entries):
                    self._complain("wrong_executed", f"{pipe}: a stage has not ended: {entries}")
                continue
            if not pipe.keyed:
                self._complain("lost", f"{pipe}: {entries}")
            if pipe.error.executed == "no" and any(entry.began for entry in entries):
                self._complain("wrong_executed", f"{pipe}: a stage ran: {entries}")

    def _complain(self, kind: str, why: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.complaints.append(f"pipes {kind}: {why}")
