"""The command line: `python -m bench`. See `bench/README.md`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from .broker import NoBrokerError, broker_version, one_rabbitmq
from .chart import write_chart
from .load import Load
from .memory import Memory, measure_memory
from .peer import CannotRunError, Peer
from .peers import PEERS, QUICK
from .process import WorkerFailedError
from .report import OURS, goals, quick_line, table, write_json
from .rounds import Outcome, plan, run_rounds

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when ours was measured, 1 when not, 2 without a broker."""
    options = _options(arguments)
    # Also where a shell started this in the background, with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        with one_rabbitmq() as url:
            return asyncio.run(_run(options, url))
    except NoBrokerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: stopped; nothing was written", file=sys.stderr)
        return 130


def _as_interrupt(_: int, __: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, which ends every block in order."""
    signal.raise_signal(signal.SIGINT)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Leveret and its peers side by side, on one RabbitMQ: LEVERET_URL or its own.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--quick", action="store_true", help="small payload, main peers, under 60 s; JSON line last"
    )
    what.add_argument("--memory", action="store_true", help="memory and import time only")
    parser.add_argument(
        "--peers", type=_names(known), metavar="A,B", help=f"some of: {', '.join(known)}"
    )
    parser.add_argument("--in-flight", type=_list(int), metavar="N,N", help="default: 1,100,1000")
    parser.add_argument(
        "--payloads", type=_list(_bytes), metavar="SIZE,SIZE", help="default: 16,1K,64K,1M (bytes)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (default: 3)")
    parser.add_argument("--seconds", type=float, help="length of one measurement (default: 1.5)")
    parser.add_argument(
        "--calls", type=int, default=1_000_000, help="calls for the growth of memory"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and chart")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or (options.seconds is not None and options.seconds <= 0):
        parser.error("--rounds and --seconds must be more than 0")
    quick = options.quick
    options.peers = options.peers or (list(QUICK) if quick else known)
    options.in_flight = options.in_flight or ([1, 100] if quick else [1, 100, 1000])
    options.payloads = options.payloads or ([16] if quick else [16, 1024, 64 * 1024, 1024 * 1024])
    options.seconds = options.seconds or (0.8 if quick else 1.5)
    return options


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no peer {name!r}; there are {', '.join(known)}")
        return chosen

    return names


def _list(item: Callable[[str], int]) -> Callable[[str], list[int]]:
    def items(text: str) -> list[int]:
        try:
            found = [item(part) for part in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        if min(found) < 1:
            raise argparse.ArgumentTypeError("every number must be 1 or more")
        return found

    return items


def _bytes(text: str) -> int:
    """A size: 16, 1K, 64K, 1M."""
    scale = {"K": 1024, "M": 1024 * 1024}.get(text[-1:].upper())
    return int(text[:-1]) * scale if scale else int(text)


async def _run(options: argparse.Namespace, url: str) -> int:
    broker = broker_version(url)
    print(f"{broker}, {options.rounds} rounds of {options.seconds:g} s each\n")
    peers = [peer for peer in PEERS if peer.name in options.peers]
    outcome = plan([] if options.memory else options.payloads, options.in_flight, options.seconds)
    if outcome.loads:
        await _speed(options, url, outcome, peers)
    memory = None
    if options.memory or (not options.quick and OURS in options.peers):
        memory = await _memory(options, url, outcome)
    _summary(outcome, memory)
    _write(options, outcome, peers, broker, memory)
    if options.quick:
        print(quick_line(outcome))
    measured = memory is not None or any(peer == OURS for peer, _ in outcome.figures)
    return 0 if measured or OURS not in options.peers else 1


async def _speed(
    options: argparse.Namespace, url: str, outcome: Outcome, peers: Sequence[Peer]
) -> None:
    def show(load: Load) -> None:
        print(table(outcome, load, peers), end="\n\n", flush=True)

    with tempfile.TemporaryDirectory() as build:
        await run_rounds(
            outcome, peers, url=url, rounds=options.rounds, build=Path(build), on_load=show
        )


async def _memory(options: argparse.Namespace, url: str, outcome: Outcome) -> Memory | None:
    try:
        return await measure_memory(url, options.calls)
    except (WorkerFailedError, OSError) as error:
        outcome.left_out.append(f"Memory: {error}")
        return None


def _summary(outcome: Outcome, memory: Memory | None) -> None:
    reached = goals(outcome)
    if reached:
        print("Goals\n  " + "\n  ".join(reached), end="\n\n")
    if memory:
        print(f"Memory and import\n{memory.report()}", end="\n\n")
    if outcome.left_out:
        print("Left out\n  " + "\n  ".join(outcome.left_out), end="\n\n")


def _write(
    options: argparse.Namespace,
    outcome: Outcome,
    peers: Sequence[Peer],
    broker: str,
    memory: Memory | None,
) -> None:
    """Write the JSON file and the chart, named by the kind of the run."""
    kind = "quick" if options.quick else "memory" if options.memory else "full"
    options.results.mkdir(parents=True, exist_ok=True)
    written = options.results / f"{kind}.json"
    write_json(written, outcome, peers, broker=broker, memory=memory.to_json() if memory else None)
    print(f"Written: {written}")
    if outcome.figures:
        chart = written.with_suffix(".svg")
        try:
            write_chart(chart, outcome, peers, f"{broker}, median of {options.rounds} rounds")
            print(f"Written: {chart}")
        except CannotRunError as error:
            print(error)


if __name__ == "__main__":
    sys.exit(main())
