"""The plan of a run and its execution: rounds in which every peer has its turn, A B C A B C.

A machine that others share gets faster and slower by the minute. Peers that take turns are slowed
alike, so their ratios hold where the figures themselves wander.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .broker import with_named_vhost
from .load import Figures, Load
from .peer import CannotRunError, Peer
from .process import WorkerFailedError, WorkerProcess

MOST_BYTES_IN_FLIGHT = 64 * 1024 * 1024
"""Bound on what a load may put into the broker at once: payload times calls in flight."""

PATIENCE = 45.0
"""Seconds beyond its own length after which a measurement counts as hung."""


@dataclass(slots=True)
class Outcome:
    """What a run has found so far."""

    loads: list[Load]
    figures: dict[tuple[str, Load], list[Figures]] = field(default_factory=dict)
    """By peer's name and load: one entry per round."""
    left_out: list[str] = field(default_factory=list)
    """What was not measured and why, one sentence each."""

    def median(self, peer: str, load: Load) -> Figures | None:
        """The median over the rounds, figure by figure; None where nothing was measured."""
        rounds = self.figures.get((peer, load))
        if not rounds:
            return None
        return Figures(
            calls=sum(one.calls for one in rounds),
            rate=median(one.rate for one in rounds),
            p50_ms=median(one.p50_ms for one in rounds),
            p99_ms=median(one.p99_ms for one in rounds),
        )

    def find(self, payload: int, in_flight: int) -> Load | None:
        """The load of that payload (bytes) and that many calls in flight, if it is in the plan."""
        for load in self.loads:
            if (load.payload, load.in_flight) == (payload, in_flight):
                return load
        return None


def size(count: int) -> str:
    """Bytes as people write them: 16 B, 1 KB, 64 KB, 1 MB."""
    for unit, scale in (("MB", 1024 * 1024), ("KB", 1024)):
        if count >= scale:
            return f"{count / scale:.4g} {unit}"
    return f"{count} B"


def plan(payloads: Sequence[int], in_flight: Sequence[int], seconds: float) -> Outcome:
    """All loads of a run, each within `MOST_BYTES_IN_FLIGHT`, and notes on what that changed."""
    outcome = Outcome(loads=[])
    for payload in payloads:
        for wanted in in_flight:
            fits = max(1, min(wanted, MOST_BYTES_IN_FLIGHT // payload))
            known = outcome.find(payload, fits)
            if fits < wanted:
                outcome.left_out.append(
                    f"{size(payload)}, {wanted:,} in flight: {fits:,} instead, so that no more "
                    f"than {size(MOST_BYTES_IN_FLIGHT)} are under way"
                )
            if known is None:
                outcome.loads.append(
                    Load(
                        payload=payload,
                        in_flight=fits,
                        seconds=seconds,
                        warm_up=max(0.2, seconds / 5),
                    )
                )
    return outcome


class RunningPeer:
    """A peer with its two processes."""

    def __init__(self, peer: Peer, url: str, build: Path) -> None:
        self.peer = peer
        self._url = with_named_vhost(url) if peer.name == "c" else url
        self._build = build
        self._server: WorkerProcess | None = None
        self._client: WorkerProcess | None = None

    async def start(self) -> None:
        """Start the server, then the client at the server's address.

        :raises CannotRunError: when something is not installed.
        :raises WorkerFailedError: when a process does not get ready.
        """
        server, client = (self.peer.command(role, self._build) for role in ("server", "client"))
        self._server = await WorkerProcess.start(
            server, self._url if self.peer.needs_broker else ""
        )
        self._client = await WorkerProcess.start(client, self._server.address)

    async def measure(self, load: Load) -> Figures:
        """One measurement.

        :raises WorkerFailedError: when the client dies, hangs or gets a wrong reply.
        """
        assert self._client is not None
        within = load.seconds + load.warm_up + PATIENCE
        return Figures(**await self._client.ask(load.to_json(), within))

    async def stop(self) -> None:
        """End both processes, the client first."""
        running = [worker for worker in (self._client, self._server) if worker is not None]
        self._client = self._server = None
        for worker in running:
            await worker.stop()


async def run_rounds(
    outcome: Outcome,
    peers: Sequence[Peer],
    *,
    url: str,
    rounds: int,
    build: Path,
    on_load: Callable[[Load], None],
) -> None:
    """Measure every load of the plan on every peer, `rounds` times in turn, into `outcome`.

    `on_load` is told of each load that is done. A peer that fails is named in `left_out`, and the
    rest goes on. However this ends, no process is left behind.
    """
    entrants = [RunningPeer(peer, url, build) for peer in peers]
    try:
        started = await asyncio.gather(*(_start(entrant, outcome) for entrant in entrants))
        running = [one for one, up in zip(entrants, started, strict=True) if up]
        for load in outcome.loads:
            fit = [one for one in running if load.in_flight <= (one.peer.most_in_flight or 10**9)]
            for _ in range(rounds):
                for entrant in list(fit):
                    if not await _measure(entrant, load, outcome):
                        fit.remove(entrant)
                        if not await _start(entrant, outcome):
                            running.remove(entrant)
            on_load(load)
    finally:
        await asyncio.gather(*(entrant.stop() for entrant in entrants))


async def _start(entrant: RunningPeer, outcome: Outcome) -> bool:
    """Start a peer; if it cannot run, say why and return False."""
    try:
        await entrant.start()
    except (CannotRunError, WorkerFailedError) as error:
        await entrant.stop()
        outcome.left_out.append(f"{entrant.peer.title} cannot run: {error}")
        return False
    return True


async def _measure(entrant: RunningPeer, load: Load, outcome: Outcome) -> bool:
    """Measure one load once; if that fails, say why, stop the peer and return False."""
    try:
        figures = await entrant.measure(load)
    except WorkerFailedError as error:
        await entrant.stop()
        outcome.left_out.append(
            f"{entrant.peer.title}, {size(load.payload)}, {load.in_flight:,} in flight: {error}"
        )
        return False
    outcome.figures.setdefault((entrant.peer.name, load), []).append(figures)
    return True
