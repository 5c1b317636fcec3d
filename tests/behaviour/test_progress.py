"""`current_call().progress(...)`: a caller sees how far its call is, wherever its handler runs."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret import (
    Busy,
    InvalidArgument,
    Progress,
    Rabbit,
    RemoteError,
    Retry,
    Service,
    current_call,
    method,
)
from leveret.testing import FaultProxy
from tests.behaviour.patience import PATIENCE, until
from tests.behaviour.raw import RawPeer

HALF = Progress(fraction=0.5, text="half")
DONE = Progress(fraction=1.0, text="done")


def wait_for_file(path: str) -> None:
    """In a thread or a process."""
    give_up = time.monotonic() + PATIENCE
    while not Path(path).exists():
        assert time.monotonic() < give_up
        time.sleep(0.005)


class Reports(Service):
    """Handlers that report, and wait until the test lets them end."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.tries = 0
        self.kept: leveret.CurrentCall | None = None

    @method(timeout=30)
    async def write(self) -> str:
        self.kept = current_call()
        current_call().progress(0.5, "half")
        await self.opened.wait()
        return "written"

    @method(timeout=30)
    async def burst(self, reports: int) -> None:
        for number in range(reports):
            current_call().progress(number / reports)
        current_call().progress(1, "done")
        await self.opened.wait()

    @method(timeout=30)
    async def over_and_over(self) -> None:
        number = 0
        while not self.opened.is_set():
            number += 1
            current_call().progress(None, str(number))
            await asyncio.sleep(0.01)

    @method(timeout=30, idempotent=True)
    async def again(self) -> int:
        self.tries += 1
        current_call().progress(0.5, f"try {self.tries}")
        if self.tries == 1:
            raise Busy("the first time it fails")
        return self.tries

    @method
    async def more_than_all(self) -> None:
        current_call().progress(1.5)

    @method(timeout=30)
    def in_a_thread(self, path: str, label: str) -> None:
        wait(path, label)

    @method(timeout=30, once=True)
    async def once(self) -> str:
        current_call().progress(0.5, "half")
        await self.opened.wait()
        return "once"


class Crunch(Service):
    """The same in processes."""

    @method(timeout=30, executor="process", concurrency=1)
    def in_a_process(self, path: str, label: str) -> None:
        wait(path, label)


def wait(path: str, label: str) -> None:
    for number in range(1001):
        current_call().progress(number / 1000, label)
    wait_for_file(path)


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(rabbitmq_url) as proxy:
        yield proxy


async def test_the_caller_sees_what_the_handler_reports(client: Rabbit, host: Rabbit) -> None:
    heard: list[Progress] = []
    reports = Reports()
    async with host.serving(reports) as server:
        remote = client.remote(Reports).with_options(on_progress=heard.append)
        call = asyncio.create_task(remote.write())
        await until(lambda: heard == [HALF], "the report comes")
        assert [c.context and c.context.last_progress for c in server.calls()] == [HALF]
        reports.opened.set()
        assert await call == "written"
        assert reports.kept is not None
        reports.kept.progress(1.0, "too late, and harmless")
        # By name, without the class, and where nobody wants to know.
        assert await client.with_options(on_progress=heard.append).call("reports.write")
        assert heard == [HALF, HALF]
        assert await client.remote(Reports).write()
    assert heard == [HALF, HALF]


async def test_of_a_burst_the_first_and_the_last_report_come(client: Rabbit, host: Rabbit) -> None:
    heard: list[Progress] = []
    reports = Reports()
    async with host.serving(reports):
        remote = client.remote(Reports).with_options(on_progress=heard.append)
        call = asyncio.create_task(remote.burst(1000))
        await until(lambda: DONE in heard, "the last report comes")
        assert heard == [Progress(fraction=0.0), DONE]
        reports.opened.set()
        await call


@pytest.mark.parametrize("where", ["thread", "process"])
async def test_handlers_off_the_loop_report(
    client: Rabbit, host: Rabbit, tmp_path: Path, where: str
) -> None:
    heard: list[Progress] = []
    async with host.serving(Reports() if where == "thread" else Crunch()):
        asking = client.with_options(on_progress=heard.append)
        reports, crunch = asking.remote(Reports), asking.remote(Crunch)
        end = tmp_path / "end"
        run = reports.in_a_thread if where == "thread" else crunch.in_a_process
        call = asyncio.create_task(run(str(end), "first"))
        last = Progress(fraction=1.0, text="first")
        await until(lambda: last in heard, "the last report comes")
        end.touch()
        await call
        assert heard[-1] == last
        assert len(heard) < 100  # of 1,001
        # A process that has reported is fit for the next call, whose reports are its own.
        heard.clear()
        await run(str(end), "second")
        assert {progress.text for progress in heard} <= {"second"}


async def test_what_on_progress_raises_is_logged(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_progress: Progress) -> None:
        raise ZeroDivisionError

    reports = Reports()
    async with host.serving(reports):
        with caplog.at_level(logging.ERROR, "leveret.client"):
            call = asyncio.create_task(
                client.remote(Reports).with_options(on_progress=fails).write()
            )
            await until(lambda: "on_progress failed" in caplog.text, "the error is logged")
        reports.opened.set()
        assert await call == "written"


async def test_what_cannot_be_reported_is_an_error_of_the_handler(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Reports()):
        with pytest.raises(RemoteError, match="from 0 to 1") as caught:
            await client.remote(Reports).more_than_all()
    assert caught.value.type_name == "ValueError"
    for wrong in (7, asyncio.sleep):
        with pytest.raises(InvalidArgument, match="plain function"):
            client.with_options(on_progress=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="report no progress"):
        client.plain("rpc_queue", on_progress=print)


async def test_each_attempt_reports(client: Rabbit, host: Rabbit) -> None:
    texts: list[str] = []
    async with host.serving(Reports()):
        remote = client.remote(Reports).with_options(
            on_progress=lambda progress: texts.append(progress.text),
            retry=Retry(attempts=2, backoff=0.01),
        )
        assert await remote.again() == 2
    assert texts == ["try 1", "try 2"]


async def test_nothing_travels_that_nobody_asked_for(raw: RawPeer, host: Rabbit) -> None:
    await raw.listen()
    reports = Reports()
    async with host.serving(reports):
        raw.request("reports.write", b"{}", correlation_id="1", headers={"progress": True})
        told = await raw.reply()
        assert told.properties.type == "progress"
        assert told.properties.content_type == "application/json"
        assert told.body == b'{"fraction":0.5,"text":"half"}'
        raw.request("reports.write", b"{}", correlation_id="2")
        types: list[str | None] = []
        while types.count("accepted") < 2:  # of both
            types.append((await raw.reply()).properties.type)
        assert types == ["accepted", "accepted"]
        reports.opened.set()
        assert [(await raw.reply()).properties.type for _ in range(2)] == ["result", "result"]


async def test_a_progress_without_a_body_is_a_sign_of_life(client: Rabbit, raw: RawPeer) -> None:
    await raw.declare("leveret.reports.write", x_dead_letter_exchange="")
    heard: list[Progress] = []
    await raw.channel.bind_queue("leveret.reports.write", "leveret", "reports.write")
    taken = await raw.take("leveret.reports.write")
    remote = client.remote(Reports).with_options(on_progress=heard.append)
    call = asyncio.create_task(remote.write())
    request = await taken.get()
    assert (request.properties.headers or {})["progress"] is True
    raw.answer(request, b"", type="progress")
    await until(lambda: client.calls.at_servers == 1, "the client knows that it runs")
    raw.answer(request, b"\x00 no JSON", type="progress")
    raw.answer(request, b'{"fraction":0.25,"more":1}', type="progress")
    raw.answer(request, b'"written"')
    raw.answer(request, b'{"fraction":0.75}', type="progress")
    assert await call == "written"
    assert heard == [Progress(fraction=0.25)]


async def test_a_call_that_waits_for_anothers_key_hears_nothing(
    client: Rabbit, host: Rabbit
) -> None:
    heard: list[Progress] = []
    reports = Reports()
    async with host.serving(reports):
        keyed = client.remote(Reports).with_options(idempotency_key="k")
        first = asyncio.create_task(keyed.with_options(on_progress=heard.append).once())
        await until(lambda: heard == [HALF], "the first one runs")
        second = asyncio.create_task(keyed.with_options(on_progress=heard.append).once())
        await until(lambda: client.calls.at_servers == 2, "the second one is there")
        reports.opened.set()
        assert [await first, await second] == ["once", "once"]
    assert heard == [HALF]


@pytest.mark.parametrize("cut", ["client", "server"])
async def test_reports_go_on_after_a_connection_broke(
    proxy: FaultProxy, rabbitmq_url: str, cut: str
) -> None:
    heard: list[Progress] = []
    reports = Reports()
    near, far = leveret.connect(rabbitmq_url), leveret.connect(proxy.url)
    async with near, far:
        client, host = (far, near) if cut == "client" else (near, far)
        async with host.serving(reports):
            remote = client.remote(Reports).with_options(on_progress=heard.append)
            call = asyncio.create_task(remote.over_and_over())
            await until(lambda: bool(heard), "a report comes")
            await until(lambda: not client.calls.unconfirmed, "it is confirmed")
            proxy.refuse()
            proxy.cut()
            await until(lambda: far.state == "reconnecting", "the connection is lost")
            proxy.accept()
            before = len(heard)
            await until(lambda: len(heard) >= before + 3, "reports come again")
            reports.opened.set()
            await call
    numbers = [int(progress.text) for progress in heard]
    assert numbers == sorted(numbers)


async def test_the_command_line_shows_a_bar_on_a_terminal(rabbitmq_url: str, host: Rabbit) -> None:
    reports = Reports()
    ours, theirs = os.openpty()
    drawn = bytearray()
    is_drawn = asyncio.Event()

    def read() -> None:
        drawn.extend(os.read(ours, 65_536))
        if b"50%" in drawn and b"half" in drawn:
            is_drawn.set()

    asyncio.get_running_loop().add_reader(ours, read)
    try:
        async with host.serving(reports):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "leveret", "call", "reports.write", "--url", rabbitmq_url),
                stdout=asyncio.subprocess.PIPE,
                stderr=theirs,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            )
            async with asyncio.timeout(3 * PATIENCE):  # processes of CI start slowly
                await is_drawn.wait()
            reports.opened.set()
            out, _ = await process.communicate()
        assert (out, process.returncode) == (b"written\n", 0)
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        os.close(theirs)
