"""One-way requests under faults: what was sent, and what the handlers did of it.

The promise: what the broker has confirmed is not lost. An idempotent one has its effect at least
once; one with a key, or of a method that is not idempotent, at most once.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from leveret import CallError, Rabbit, Service, method
from tests.faults.diary import Diary, Entry
from tests.faults.work import EXPIRES

_CONFIRMED_WITHIN: Final = 25.0
"""Seconds in which the broker has to confirm a request, over all faults."""
_PATIENT: Final = 60.0
"""Seconds in which all that was sent has run, once the faults are over."""

Kind = Literal["again", "once", "keyed"]


class Notes(Service):
    """Writes down what it is sent."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    @method(timeout=5, one_way=True, idempotent=True, expires=EXPIRES)
    async def again(self, key: str, seconds: float) -> None:
        await self._note(key, seconds)

    @method(timeout=5, one_way=True, expires=EXPIRES)
    async def once(self, key: str, seconds: float) -> None:
        await self._note(key, seconds)

    @method(timeout=5, one_way=True, once=True, expires=EXPIRES)
    async def keyed(self, key: str, seconds: float) -> None:
        await self._note(key, seconds)

    async def _note(self, key: str, seconds: float) -> None:
        self._diary.write(key, "began")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._diary.write(key, "broke off")
            raise
        self._diary.write(key, "ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request, and what its sender was told."""

    key: str
    kind: Kind
    error: CallError | None = None
    """None: the broker has it."""

    def __str__(self) -> str:
        error = self.error
        told = "confirmed" if error is None else f"{error!r}, executed={error.executed!r}"
        return f"{self.key} ({self.kind}): {told}"


class OneWayJudge:
    """Sends one-way requests, and judges them after the faults."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.lost = 0
        self.ran_twice = 0
        self.wrong_executed = 0
        self.complaints: list[str] = []

    @property
    def confirmed(self) -> int:
        """How many requests the broker has taken."""
        return sum(sent.error is None for sent in self.sent)

    async def send(self, client: Rabbit, dice: random.Random) -> None:
        """Send one of some kind."""
        key = f"note-{secrets.token_hex(6)}"
        kind: Kind = dice.choice(("again", "again", "once", "keyed"))
        notes = client.remote(Notes).with_options(timeout=_CONFIRMED_WITHIN, wait_for_server=True)
        send = {"again": notes.again, "once": notes.once, "keyed": notes.keyed}[kind]
        error = None
        try:
            await send(key, dice.choice((0.0, 0.0, 0.05, 0.4)))
        except CallError as failure:
            error = failure
        self.sent.append(Sent(key=key, kind=kind, error=error))

    async def all_have_run(self, read: Callable[[], dict[str, Entry]]) -> None:
        """Wait until all have run that must, or will not any more."""
        give_up = time.monotonic() + _PATIENT
        while time.monotonic() < give_up:
            diary = read()
            if all(diary.get(key, Entry()).ended for key in self._due()):
                return
            await asyncio.sleep(0.1)

    def compare(self, diary: dict[str, Entry]) -> None:
        """Judge all of them by what their handlers wrote."""
        due = self._due()
        for sent in self.sent:
            entry = diary.get(sent.key, Entry())
            if sent.key in due and not entry.ended:
                self._complain("lost", f"{sent}: {entry}")
            if sent.kind != "again" and len(entry.began) > 1:
                self._complain("ran_twice", f"{sent}: {entry}")
            if sent.error is not None and sent.error.executed == "no" and entry.began:
                self._complain("wrong_executed", f"{sent}: {entry}")

    def _due(self) -> set[str]:
        """What must have its effect. Of the others, a server that dies may take one with it."""
        return {sent.key for sent in self.sent if sent.kind == "again" and sent.error is None}

    def _complain(self, kind: str, why: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.complaints.append(f"one-way {kind}: {why}")
