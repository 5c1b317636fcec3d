"""A worker as the supervisor sees it, and what it sends: each question is answered, in order."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from leveret.cli.serving import worker as worker_module
from leveret.cli.serving.request import Report
from leveret.cli.serving.worker import ASK
from leveret.cli.serving.worker_process import WorkerProcess
from leveret.observe import Snapshot

REPORT = msgspec.json.encode(Report(snapshot=Snapshot())) + b"\n"


class AProcess:
    """Runs until it is told to end."""

    pid = 1

    def __init__(self) -> None:
        self.returncode: int | None = None
        self._ends = asyncio.Event()

    async def wait(self) -> int:
        await self._ends.wait()
        assert self.returncode is not None
        return self.returncode

    def end(self) -> None:
        self.returncode = 0
        self._ends.set()


class Worker:
    """A worker of whom only the socket is there."""

    def __init__(self, process: AProcess, theirs: socket.socket, seen: WorkerProcess) -> None:
        self.process = process
        self.seen = seen
        self._theirs = theirs

    async def asked(self) -> bytes:
        """What it is asked next."""
        return await asyncio.get_running_loop().sock_recv(self._theirs, 1)

    def is_asked_nothing(self) -> bool:
        try:
            return not self._theirs.recv(1)
        except BlockingIOError:
            return True

    async def says(self, line: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._theirs, line)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        process = AProcess()
        seen = WorkerProcess(1, cast("Any", process), reader, writer)
        ending = asyncio.create_task(seen.ended())
        yield Worker(process, theirs, seen)
        process.end()
        theirs.shutdown(socket.SHUT_RDWR)
        await ending


async def test_a_worker_whose_answer_was_lost_is_asked_again(worker: Worker) -> None:
    assert not await worker.seen.ask(0.0)
    assert await worker.asked() == ASK
    again = asyncio.create_task(worker.seen.ask(60.0))
    assert await worker.asked() == ASK
    await worker.says(REPORT)
    assert await again
    assert worker.seen.report is not None


async def test_one_question_is_sent_for_all_who_ask_meanwhile(worker: Worker) -> None:
    first = asyncio.create_task(worker.seen.ask(60.0))
    assert await worker.asked() == ASK
    second = asyncio.create_task(worker.seen.ask(60.0))
    await worker.says(REPORT)
    assert await first
    assert await second
    assert worker.is_asked_nothing()


async def test_a_worker_whose_process_has_ended_is_not_asked(worker: Worker) -> None:
    assert not worker.seen.has_ended
    worker.process.end()
    assert worker.seen.has_ended
    assert not await worker.seen.ask(60.0)


def test_no_line_overtakes_a_report_that_was_counted_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supervisor, theirs = socket.socketpair()
    with supervisor, theirs:
        lines = worker_module._Lines(theirs)
        later = threading.Thread(target=lines.send, args=(b"later\n",))

        class Process:
            """While it counts, another thread sends a line, if it can."""

            def snapshot(self) -> Snapshot:
                later.start()
                later.join(0.05)
                return Snapshot()

        monkeypatch.setattr(worker_module, "PROCESS", Process())
        lines.report("")
        later.join()
        with supervisor.makefile("rb") as sent:
            assert (sent.readline(), sent.readline()) == (REPORT, b"later\n")


async def test_a_signal_to_a_worker_that_dies_does_not_take_its_exit_code() -> None:
    for _ in range(30):
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec("sleep", "100")
            worker = WorkerProcess(1, process, *await asyncio.open_connection(sock=ours))
        worker.kill()
        for _ in range(100):
            worker.terminate()  # a moment before the death, in it, or after it
        assert (await worker.ended()).error == "killed by SIGKILL"
