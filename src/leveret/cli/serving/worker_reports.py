"""What the workers of one supervisor say of themselves, added up.

The counters of a worker that ends stay in the sums: it sends them with its last words. Of one that
is killed, they are those that it told when it was asked last, so no sum falls.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, Protocol

from leveret.cli.serving.monitoring import Exposition, Health
from leveret.cli.serving.request import Report
from leveret.observe import Snapshot, total

__all__ = ["WorkerReports"]

_ANSWER_WITHIN: Final = 2.0
"""Seconds that a worker has to answer; one whose event loop stands still does not."""


class Reporter(Protocol):
    """A worker, as far as it is asked."""

    @property
    def serves(self) -> bool:
        """Whether it has been ready."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended, though its last words may be on their way."""
        ...

    @property
    def report(self) -> Report | None:
        """What it said last, if it said anything."""
        ...

    async def ask(self, seconds: float) -> bool:
        """Have it say how it stands; False if it does not within this time."""
        ...


class WorkerReports:
    """The workers that run, and the sums of those that have ended.

    :param expected: how many workers there should be.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._workers: dict[Reporter, bool] = {}
        """Those that run, and whether they answered when they were asked last."""
        self._ended = Snapshot()

    def add(self, worker: Reporter) -> None:
        """A worker runs."""
        self._workers[worker] = True

    def discard(self, worker: Reporter) -> None:
        """A worker has ended."""
        if self._workers.pop(worker, None) is not None and worker.report is not None:
            self._ended.add(worker.report.snapshot, is_over=True)

    async def _ask(self) -> None:
        async def ask(worker: Reporter) -> None:
            answers = await worker.ask(_ANSWER_WITHIN)
            if worker in self._workers:
                self._workers[worker] = answers

        await asyncio.gather(*(ask(worker) for worker in tuple(self._workers)))

    async def health(self) -> Health:
        """How they stand: ready, if as many as there should be are."""
        await self._ask()
        dead, unready = [], []
        ready = 0
        for worker, answers in self._workers.items():
            why = _unready(worker, answers=answers)
            ready += not why
            if why:
                unready.append(f"{worker}: {why}")
            if worker.serves and not answers and not worker.has_ended:
                dead.append(f"{worker}: {why}")
        if ready < self._expected:
            unready.insert(0, f"{ready} of {self._expected} workers are ready")
        else:
            unready.clear()  # some more end, whose code is outdated
        return Health(dead=dead, unready=unready)

    async def exposition(self) -> Exposition:
        """The metrics of all of them."""
        from leveret.metrics.exposition import (  # noqa: PLC0415 - of the extra `metrics`
            exposition_of_snapshot,
        )

        await self._ask()
        reports = [worker.report for worker in self._workers]
        sums = total((one.snapshot for one in reports if one is not None), ended=self._ended)
        return partial(exposition_of_snapshot, sums)


def _unready(worker: Reporter, *, answers: bool) -> str:
    if worker.has_ended:
        return "ended"
    if not worker.serves:
        return "starting"
    if not answers or worker.report is None:
        return f"no answer within {_ANSWER_WITHIN:g} s"
    return worker.report.unready
