"""kill -9 of a stream's server, and of its client, while all kinds of streams are under way."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

import leveret
from leveret import MaybeExecuted, StreamBroken
from leveret.streaming import liveness
from tests.behaviour.patience import until, until_found
from tests.brokers import Broker
from tests.faults import endless
from tests.faults.diary import Diary
from tests.faults.endless import KINDS, EndlessStream
from tests.faults.programs import Programs
from tests.faults.scene import SOON
from tests.faults.streams import Counting, StreamJudge

_ROOT: Final = Path(__file__).parents[2]
_START: Final = 60.0
"""Seconds in which a program has to be under way."""
_REPLY_QUEUE: Final = Counter({"leveret.reply.guest": 1})
"""That of a process that was killed outlives it by a minute, so that it could come back."""


async def test_streams_whose_server_is_killed_end_with_their_true_counts_or_go_on(
    broker: Broker, diary: Diary
) -> None:
    """One that resumes goes on at the next server; nothing of the others is left at the client."""
    before = asyncio.all_tasks()
    results, upload, dialogue, resumed = streams = [EndlessStream(kind) for kind in KINDS]
    async with (
        Programs(broker.url, diary.path) as programs,
        leveret.connect(broker.url, reconnect=SOON) as client,
    ):
        await programs.start()
        queues = await _queues(broker)
        idle = asyncio.all_tasks() - before
        running = [asyncio.create_task(stream.run(client)) for stream in streams]
        await until(lambda: all(stream.is_under_way for stream in streams), "all are under way")
        await programs.start()
        [first, _] = programs.running
        assert resumed.server == first.pid
        await programs.kill(first)
        await asyncio.wait(running[:-1])
        for stream in (results, dialogue):
            assert isinstance(stream.error, StreamBroken), stream
            assert stream.error.received == stream.tally.received
        assert isinstance(upload.error, StreamBroken | MaybeExecuted), upload
        assert all(stream.error.executed == "maybe" for stream in streams[:-1] if stream.error)
        await until(lambda: resumed.server not in (0, first.pid), "the next server goes on")
        resumed.leave.set()
        await running[-1]
        assert resumed.error is None
        assert not any(stream.tally.lost or stream.tally.doubled for stream in streams)
        # Nothing is left: no call, no source that waits, no task, no inbox of the dead server.
        await until(lambda: client.in_flight == 0, "no call is left")
        await until(lambda: not any(stream.open_sources for stream in streams), "all is closed")
        await until(lambda: len(client.calls._streams) == 0, "no stream is left")
        running.clear()
        await until_found(lambda: _queues(broker), queues + _REPLY_QUEUE, "no queue is left")
        await programs.kill(programs.running[0])  # what reads from it is a task as well
        await until_found(lambda: _tasks_beside(before | idle), set(), "no task is left")


async def test_streams_whose_client_is_killed_leave_nothing_at_their_server(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()
    async with (
        leveret.connect(broker.url, reconnect=SOON) as host,
        host.serving(Counting(), grace=2) as server,
    ):
        queues, idle = await _queues(broker), asyncio.all_tasks() - before
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", endless.__name__, broker.url),
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
        )
        try:
            assert program.stdout is not None
            async with asyncio.timeout(_START):
                assert await program.stdout.readline() == b"under way\n"
            assert len(server._streams) == len(KINDS)
        finally:
            program.kill()
            await program.wait()
        # Its reply queue takes what is sent to it; so only silence says that it is gone.
        with monkeypatch.context() as patched:
            patched.setattr(liveness, "GIVEN_UP_AFTER", 1.0)
            await until(lambda: len(server._streams) == 0, "no stream is left")
        await until(lambda: not server._table, "no call is left")
        await until_found(lambda: _tasks_beside(before | idle), set(), "no task is left")
        await until_found(lambda: _queues(broker), queues + _REPLY_QUEUE, "no queue is left")
        async with leveret.connect(broker.url) as other:  # and all is as before
            judge = StreamJudge()
            await judge.results(other, 300)
        assert judge.verdict.whole == 1
        assert not judge.verdict.complaints


async def _tasks_beside(those: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """What else runs."""
    return asyncio.all_tasks() - those


async def _queues(broker: Broker) -> Counter[str]:
    """How many queues of each name there are; what is random in the names is left out."""
    names = await asyncio.to_thread(broker.queues)
    return Counter(re.sub(r"(amq\.gen|reply\.\w+)[-.].*", r"\1", name) for name in names)
