"""docs/reliability.md holds: its snippets run, its figures are the code's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

import leveret
from leveret import Rabbit, Reconnect
from leveret.client.calls import life, probe
from leveret.server import watchdog
from leveret.server.calls import intake, kept_replies, once_calls
from leveret.transport.address import Address
from leveret.wire import timing
from tests.docs.error_services import Fibonacci
from tests.docs.fences import ROOT, blocks, table
from tests.docs.session import Session
from tests.docs.shell import Shell, lines
from tests.faults.judgement import Verdict
from tests.once.servers import PostgresServer

RELIABILITY = "docs/reliability.md"

FIGURES: dict[str, tuple[float, ...]] = {
    "a call ends": (0.1,),
    "first and longest": (Reconnect().first, Reconnect().most),
    "heartbeat": (Address(hosts=()).heartbeat,),
    "an unanswered probe": (probe.DEAD_AFTER,),
    "a client waits": (timing.SERVERS_RETURN_WITHIN,),
    "a request counts": (timing.QUERY_ANSWERED_WITHIN,),
    "small replies": (kept_replies.SENT, kept_replies.SENT_SIZE),
    "a reply queue": (timing.REPLY_QUEUE_LIVES,),
    "further servers": (intake.MAX_REDELIVERIES,),
    "a record": (once_calls.KEEP / 3600,),
    "the loop": (watchdog.BLOCKED_AFTER,),
}
"""Each row of the table, by the words that it begins with."""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def stores(text: str) -> bool:
    """Whether a block needs PostgreSQL."""
    return "PostgresOnce" in text


async def test_the_snippets_run_in_their_order(
    rabbit: Rabbit, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(leveret.connect(rabbitmq_url))
        await stack.enter_async_context(host.serving(Fibonacci()))
        names = {"rabbit": rabbit, "url": rabbitmq_url, "leveret": leveret}
        session = Session(tmp_path, host, stack, Fibonacci=Fibonacci, **names)
        for block in blocks(RELIABILITY, "python"):
            if not stores(block.text):
                await session.run(block)


async def test_a_server_with_postgresql_runs_a_key_once_also_after_its_restart(
    rabbit: Rabbit,
    rabbitmq_url: str,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    python = blocks(RELIABILITY, "python")
    (till,) = [block for block in python if block.text.startswith("from leveret import Service")]
    (serve,) = [block for block in python if stores(block.text)]
    (url,) = re.findall(r'"(postgresql://[^"]+)"', serve.text)
    (tmp_path / "till.py").write_text(till.text)
    (tmp_path / "serve.py").write_text(
        "import asyncio, leveret\nfrom till import Till\n"
        "async def main():\n    async with leveret.connect() as rabbit:\n"
        + "".join(
            f"        {line}\n" for line in serve.text.replace(url, postgres.url).splitlines()
        )
        + "leveret.run(main())\n"
    )
    patient = rabbit.with_options(wait_for_server=True, timeout=40, idempotency_key="order 18")
    shell = Shell(tmp_path, rabbitmq_url)
    for _ in range(2):  # a new server would count from 1 again
        async with shell.running("python", "serve.py") as server:
            assert await patient.call("till.pay", order="18") == 1
            server.terminate()
            assert await server.wait() == 0
    async with shell.running("python", "serve.py") as server:
        other = patient.with_options(idempotency_key="order 19")
        assert await other.call("till.pay", order="19") == 1
        server.terminate()
        await server.wait()


def test_the_figures_are_those_of_the_code() -> None:
    rows = table(RELIABILITY, "Figures")
    assert len(rows) == len(FIGURES)
    for (what, shown), (words, values) in zip(rows, FIGURES.items(), strict=True):
        assert what.startswith(words)
        assert tuple(map(float, shown.split(", "))) == values, f"{what}: the code has {values}"
    assert timing.REPLY_GRACE < timing.LATEST_END < FIGURES["a call ends"][0]
    assert life.MOST_RESENDS == 10


async def test_every_command_is_a_target_of_make(tmp_path: Path) -> None:
    commands = [line for block in blocks(RELIABILITY, "sh") for line in lines(block.text)]
    assert commands
    shell = Shell(tmp_path, "")
    for line in commands:
        assert line.program == "make"
        ended = await shell.run("make", "--directory", str(ROOT), "--dry-run", *line.words[1:])
        assert ended.code == 0, ended.errors


def _shown(word: str) -> list[str]:
    """The texts that the page shows with this word in them."""
    return [b.text.strip() for b in blocks(RELIABILITY, "text") if word in b.text]


def test_the_line_of_the_log_is_the_watchdogs() -> None:
    (shown,) = _shown("blocked")
    source = (ROOT / "src" / "leveret" / "server" / "watchdog.py").read_text()
    literals = re.sub(r'"\s*\n\s*"', "", source)
    pieces = re.split(r"1\.0 s|by \S+ \(call \S+\)|(?<=looked after)", shown)
    assert all(piece.strip() in literals for piece in pieces)


def test_the_lines_of_runs_have_the_counts_of_the_oracle_and_none_that_is_broken() -> None:
    load = ("calls", "streams", "started", "pipes", "one_way", "faults", "allowed", "seed")
    chaos, simulation = (msgspec.json.decode(it, type=dict[str, Any]) for it in _shown("ran_twice"))
    assert chaos.keys() == Verdict().counts().keys()
    assert simulation.keys() == chaos.keys() | {"allowed", "seed"}
    for counts in (chaos, simulation):
        assert not any(count for name, count in counts.items() if name not in load)
