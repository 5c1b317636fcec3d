"""`leveret serve --workers N`: processes that are kept running, and that end together."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

import leveret
from leveret.testing import RabbitMQ
from tests.behaviour.cli_commands import Command, Commands, is_alive
from tests.behaviour.cli_service import Desk
from tests.behaviour.patience import until

SERVED = "cli_service:Desk"


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


async def ready_pids(server: Command, times: int) -> list[int]:
    """The process ids of the workers that got ready, once there were so many."""
    ready = await server.says(r"worker \d+ \(pid (\d+)\) is ready", times)
    return [int(match[1]) for match in ready]


async def test_workers_share_the_calls_and_name_their_lines_in_the_log(commands: Commands) -> None:
    server, pids = await commands.serve_with_workers(SERVED)
    async with leveret.connect(commands.url) as rabbit:
        answered = {await rabbit.call("desk.process") for _ in range(20)}
        asking = rabbit.ask_all(rabbit.remote(Desk).process)
        everybody = await asking()
    assert answered == set(pids)
    assert set(everybody.results.values()) == set(pids)  # each is a server of its own
    assert everybody.missing == 0
    await server.says(r"\[worker 1\] leveret\.server: serving desk")
    await server.says(r"\[worker 2\] leveret\.server: serving desk")
    server.terminate()
    assert await server.ends() == 0


async def test_workers_wait_for_a_broker_without_end(commands: Commands) -> None:
    server = await commands.start("serve", SERVED, "--workers", "2", "--wait-for-broker", "inf")
    assert len(set(await ready_pids(server, 2))) == 2
    server.terminate()
    assert await server.ends() == 0


async def test_a_killed_worker_is_replaced_while_the_calls_go_on(commands: Commands) -> None:
    server, pids = await commands.serve_with_workers(SERVED)
    async with leveret.connect(commands.url) as rabbit:
        os.kill(pids[0], signal.SIGKILL)
        assert await rabbit.call("desk.fib", n=30) == 832040
        await server.says(
            rf"worker \d \(pid {pids[0]}\) ended: killed by SIGKILL; starting another"
        )
        third = (await ready_pids(server, 3))[2]
        answered = {await rabbit.call("desk.process") for _ in range(20)}
    assert answered == {pids[1], third}


async def test_a_worker_that_was_told_to_stop_by_somebody_else_is_replaced(
    commands: Commands,
) -> None:
    server, pids = await commands.serve_with_workers(SERVED)
    os.kill(pids[1], signal.SIGTERM)
    await server.says(rf"\(pid {pids[1]}\) ended: somebody else told it to stop")
    assert len(set(await ready_pids(server, 3))) == 3


@pytest.mark.embedded_only
@pytest.mark.slow
async def test_a_service_that_cannot_be_entered_is_tried_again_later_each_time(
    commands: Commands,
) -> None:
    server = await commands.start("serve", "cli_service:CannotOpen", "--workers", "2")
    tried = await server.says(r"worker 1 .*the database is away;.* starting another in (.*) s", 4)
    assert float(tried[3][1]) > float(tried[0][1])
    server.interrupt()
    assert await server.ends() == 0


@pytest.mark.slow
async def test_workers_come_back_with_their_broker(tmp_path: Path, own_rabbitmq: RabbitMQ) -> None:
    async with Commands(tmp_path, own_rabbitmq.url) as commands:
        server, _ = await commands.serve_with_workers(SERVED)
        await asyncio.to_thread(own_rabbitmq.stop)
        await server.says("attempt 1 to connect again failed", 2)
        await asyncio.to_thread(own_rabbitmq.restart)
        call = await commands.run("call", "desk.fib", "n=30", "--wait-for-server")
        assert call.text == "832040\n"
        assert len(set(await ready_pids(server, 2))) == 2  # the same two
        server.terminate()
        assert await server.ends() == 0


@pytest.mark.parametrize("stop", [Command.terminate, Command.interrupt, Command.hang_up])
async def test_a_signal_drains_all_workers_and_the_running_call_gets_its_answer(
    commands: Commands, stop: Callable[[Command], None]
) -> None:
    server, pids = await commands.serve_with_workers(SERVED)
    meeting = await commands.meeting()
    stop(server)
    await server.says("draining: 0 calls?")
    await server.says("draining: 1 calls?")
    meeting.may_end()
    assert await meeting.call.ends() == 0
    assert meeting.call.text == "met\n"
    assert await server.ends() == 0
    assert not any(is_alive(pid) for pid in pids)


async def test_who_tells_the_workers_too_cuts_no_drain_short(commands: Commands) -> None:
    """As systemd does without `KillMode=mixed`; the supervisor tells the workers as well."""
    server, pids = await commands.serve_with_workers(SERVED)
    meeting = await commands.meeting()
    server.terminate()
    await server.says("draining: 1 calls?")
    for pid in pids:
        with suppress(ProcessLookupError):  # one has no call, and may have ended
            os.kill(pid, signal.SIGTERM)
    meeting.may_end()
    assert await meeting.call.ends() == 0
    assert meeting.call.text == "met\n"
    assert await server.ends() == 0


@pytest.mark.parametrize("signals", [Command.terminate, Command.interrupt])
async def test_a_second_signal_hurries_all_workers(
    commands: Commands, signals: Callable[[Command], None]
) -> None:
    server, pids = await commands.serve_with_workers(SERVED)
    meeting = await commands.meeting()
    signals(server)
    await server.says("draining: 1 calls?")
    signals(server)
    assert await meeting.call.ends() == 8
    assert await server.ends() == 8
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.embedded_only
async def test_no_worker_outlives_a_killed_supervisor(commands: Commands) -> None:
    server, pids = await commands.serve_with_workers(SERVED)
    meeting = await commands.meeting()
    server.process.kill()
    meeting.may_end()
    assert await meeting.call.ends() == 0  # they drain
    await until(lambda: not any(is_alive(pid) for pid in pids), "the workers end")


@pytest.mark.embedded_only
@pytest.mark.slow
async def test_a_frozen_worker_is_killed_after_a_second_signal(commands: Commands) -> None:
    (commands.folder / "blocked.py").write_text(
        "import os, pathlib, signal, leveret\n"
        "class Blocked(leveret.Service):\n"
        "    @leveret.method\n"
        "    async def block(self) -> int:\n"
        "        pathlib.Path('runs').touch()\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    server, pids = await commands.serve_with_workers("blocked:Blocked", "--grace", "0")
    call = await commands.start("call", "blocked.block", "--timeout", "60")
    await until((commands.folder / "runs").exists, "its worker is frozen")
    server.terminate()
    await server.says("draining 2 workers")
    server.terminate()
    await server.says("does not end; killing it")
    assert await server.ends() == 8
    assert not any(is_alive(pid) for pid in pids)
    assert await call.ends() == 5
    assert "(executed: maybe)" in call.error
