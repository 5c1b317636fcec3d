"""Started calls under faults: what became of each, told to another client once the faults are over.

The promise: a call that was started has one end, which anybody who knows its key can fetch. One of
an idempotent method has its result, and its handler may have run more than once; of any other the
handler ran once at most, and its end is a result or an error that does not know more than it may.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from typing import Final

from leveret import CallError, Rabbit
from tests.faults.diary import Entry
from tests.faults.work import Errands, answer_to

_KEPT: Final = 600.0
"""Seconds for which records are kept: longer than a round."""
_PATIENT: Final = 90.0
"""Seconds in which a started call ends once the faults are over."""
_REPLY: Final = 20
"""Bytes of a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A call that the broker has, by the word of `start`."""

    key: str
    idempotent: bool


class StartedJudge:
    """Starts calls, and judges them after the faults."""

    def __init__(self) -> None:
        self.started: list[Started] = []
        self.lost = 0
        self.ran_twice = 0
        self.complaints: list[str] = []

    async def start(self, client: Rabbit, dice: random.Random) -> None:
        """Start one; one that could not be started is nobody's."""
        key = f"started-{secrets.token_hex(6)}"
        idempotent = dice.random() < 0.5
        errands = client.remote(Errands)
        method = errands.again if idempotent else errands.once
        try:
            await client.start(method, key=key, keep=_KEPT)(
                key, dice.choice((0.0, 0.05, 0.4)), "", _REPLY
            )
        except CallError:
            return
        self.started.append(Started(key=key, idempotent=idempotent))

    async def judge(self, client: Rabbit) -> None:
        """Fetch the end of each by another client."""
        errands = client.remote(Errands)
        for call in self.started:
            method = errands.again if call.idempotent else errands.once
            try:
                result = await client.attach(method, call.key).result(timeout=_PATIENT)
            except CallError as error:
                if call.idempotent or error.executed != "maybe":
                    self._complain("lost", f"{call}: {error!r}, executed={error.executed!r}")
            else:
                if result != answer_to(call.key, _REPLY):
                    self._complain("lost", f"{call}: its result is {result!r}")

    def compare(self, diary: dict[str, Entry]) -> None:
        """See that no handler ran twice that may not."""
        for call in self.started:
            entry = diary.get(call.key, Entry())
            if not call.idempotent and len(entry.began) > 1:
                self._complain("ran_twice", f"{call}: {entry}")

    def _complain(self, kind: str, why: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.complaints.append(f"started {kind}: {why}")
