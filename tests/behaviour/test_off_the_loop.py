"""Plain `def` handlers: in threads, and in processes of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from leveret import ContractError, DeadlineExceeded, Rabbit, RemoteError, Service, method
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.services import Echo


class Threads(Service):
    """Handlers that block until the test lets them go."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.running = 0
        self.most = 0
        self.ended = 0
        self._lock = threading.Lock()

    @method(timeout=30, concurrency=3)
    def block(self) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.opened.wait(20)
        with self._lock:
            self.running -= 1
            self.ended += 1
        return threading.current_thread().name

    @method(timeout=30, concurrency=1)
    def block_alone(self) -> str:
        return self.block.__wrapped__(self)  # type: ignore[attr-defined, no-any-return]


class OddError(Exception):
    """One that pickle cannot build again."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} is at odds with {b}")


class Worker(Service):
    """Runs in a process of its own, one call at a time."""

    @method(executor="process", timeout=30, concurrency=1)
    def fib(self, n: int) -> int:
        return _fib(n)


class Fragile(Service):
    """Does in its process what its caller says, and tells the process's id."""

    @method(executor="process", timeout=30, concurrency=1)
    def work(self, what: str, noted_in: str = "") -> Any:
        match what:
            case "spin":
                Path(noted_in).write_text("started")
                while True:
                    time.sleep(0.01)
            case "die" | "die and leave a child":
                _die(and_leave_a_child=what != "die")
            case "raise":
                raise ValueError("no such thing: 7")
            case "raise odd":
                raise OddError(1, 2)
            case "exit":
                raise SystemExit(4)
            case "stop":
                raise StopIteration
            case "give a lock":
                return threading.Lock()
        return os.getpid()


class Unpicklable(Service):
    def __init__(self) -> None:
        self.lock = threading.Lock()

    @method(executor="process")
    def work(self) -> None:
        pass


class SlowToStart(Service):
    """Its process is ready once there is a file "go" in a folder; then it has made "begun"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        (self.folder / "begun").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.005)

    @method(executor="process", timeout=30, concurrency=1)
    def work(self) -> int:
        return 7


def _die(*, and_leave_a_child: bool) -> None:
    if and_leave_a_child and os.fork() == 0:
        time.sleep(30)  # with all that its parent had open
    os._exit(3)


def _fib(n: int) -> int:
    return n if n < 2 else _fib(n - 1) + _fib(n - 2)


OFFICE = """
import leveret
from leveret import Service, method

class Office(Service):
    @method(timeout=30, executor="process", concurrency=1)
    def add(self, a: int, b: int) -> int:
        return a + b
"""

SERVER = """
import leveret, sys
from office import Office

async def main():
    async with leveret.connect(sys.argv[1]) as rabbit, rabbit.serving(Office()):
        print(await rabbit.remote(Office).add(1, 2))

"""


async def run_program(folder: Path, main: str, url: str) -> tuple[int | None, str, str]:
    """Run a server with the service `Office`; its exit code, and what it printed."""
    (folder / "office.py").write_text(OFFICE)
    (folder / "server.py").write_text(SERVER + main)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "server.py", url),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(45):
        out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_plain_handler_blocks_its_thread_and_nothing_else(
    client: Rabbit, host: Rabbit
) -> None:
    threads = Threads()
    async with host.serving(threads, Echo()):
        call = asyncio.create_task(client.remote(Threads).block())
        await until(lambda: threads.running == 1, "the handler runs")
        assert await client.remote(Echo).echo("x") == "x"
        threads.opened.set()
        assert (await call).startswith("threads.block")


async def test_no_more_threads_run_than_the_concurrency_allows(
    client: Rabbit, host: Rabbit
) -> None:
    threads = Threads()
    async with host.serving(threads):
        calls = [asyncio.create_task(client.remote(Threads).block()) for _ in range(10)]
        await until(lambda: threads.running == 3, "three run")
        threads.opened.set()
        await asyncio.gather(*calls)
    assert (threads.most, threads.ended) == (3, 10)


@pytest.mark.usefixtures("patient_clients")
async def test_the_caller_of_a_thread_is_answered_at_the_deadline_though_the_thread_goes_on(
    client: Rabbit, host: Rabbit
) -> None:
    threads = Threads()
    remote = client.remote(Threads)
    async with host.serving(threads):
        with pytest.raises(DeadlineExceeded) as caught:
            await remote.with_options(timeout=1).block_alone()
        assert (caught.value.where, caught.value.executed) == ("handler", "yes")
        assert threads.running == 1
        # Its place is taken until it returns.
        with pytest.raises(DeadlineExceeded) as caught:
            await remote.with_options(timeout=1).block_alone()
        assert (caught.value.where, caught.value.executed) == ("queue", "no")
        threads.opened.set()
        await remote.block_alone()
    assert client.late_replies == 0


async def test_a_server_whose_process_is_not_ready_is_not_there_yet(
    client: Rabbit, host: Rabbit, tmp_path: Path
) -> None:
    over = asyncio.Event()

    async def serve() -> None:
        async with host.serving(SlowToStart(tmp_path)):
            await over.wait()

    serving = asyncio.create_task(serve())
    await until((tmp_path / "begun").exists, "the process starts")
    assert (await client.ping(SlowToStart, timeout=0.2)).servers == []
    (tmp_path / "go").touch()

    async def servers() -> int:
        return len((await client.ping(SlowToStart)).servers)

    await until_found(servers, 1, "the server answers")
    assert await client.remote(SlowToStart).work() == 7
    over.set()
    await serving


async def test_a_process_does_not_stop_other_calls(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Worker(), Echo()):
        fib = asyncio.create_task(client.remote(Worker).fib(27))
        answered = 0
        while not fib.done():
            assert await client.remote(Echo).echo("x") == "x"
            answered += 1
        assert await fib == 196418
    assert answered > 1


async def test_a_process_is_kept_until_the_server_ends(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Fragile()):
        pids = {await client.remote(Fragile).work("tell") for _ in range(5)}
        assert os.getpid() not in pids
        assert len(pids) == 1
    await until(lambda: is_gone(min(pids)), "the process ends with the server")


@pytest.mark.usefixtures("patient_clients")
async def test_the_deadline_kills_the_process(client: Rabbit, host: Rabbit, tmp_path: Path) -> None:
    started = tmp_path / "started"
    remote = client.remote(Fragile)
    async with host.serving(Fragile()):
        pid = await remote.work("tell")
        with pytest.raises(DeadlineExceeded) as caught:
            await remote.with_options(timeout=1).work("spin", str(started))
        assert (caught.value.where, caught.value.executed) == ("handler", "yes")
        assert started.exists()
        await until(lambda: is_gone(pid), "the process is dead")
        assert await remote.work("tell") not in {pid, os.getpid()}


async def test_a_cancelled_call_kills_its_process(
    client: Rabbit, host: Rabbit, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    remote = client.remote(Fragile)
    async with host.serving(Fragile()):
        pid = await remote.work("tell")
        call = asyncio.create_task(remote.work("spin", str(started)))
        await until(started.exists, "it spins")
        call.cancel()
        await until(lambda: is_gone(pid), "the process is dead")


@pytest.mark.parametrize("what", ["die", "die and leave a child"])
async def test_a_process_that_dies_is_answered_and_replaced(
    client: Rabbit, host: Rabbit, what: str
) -> None:
    remote = client.remote(Fragile)
    async with host.serving(Fragile()):
        before = await remote.work("tell")
        async with at_once():
            with pytest.raises(RemoteError, match=r"died \(exit code 3\)") as caught:
                await remote.with_options(timeout=60).work(what)
        assert caught.value.executed == "maybe"
        assert await remote.work("tell") not in {before, os.getpid()}


async def test_a_process_that_is_killed_while_it_is_idle_is_replaced(
    client: Rabbit, host: Rabbit
) -> None:
    remote = client.remote(Fragile)
    async with host.serving(Fragile()):
        before = await remote.work("tell")
        os.kill(before, signal.SIGKILL)
        await until(
            lambda: before not in {child.pid for child in multiprocessing.active_children()},
            "the process is dead",
        )
        assert await remote.work("tell") not in {before, os.getpid()}


async def test_what_a_process_raises_arrives(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Fragile(), send_tracebacks=True):
        for what, message in {
            "raise": "ValueError: no such thing: 7",
            "raise odd": "OddError: 1 is at odds with 2",
            "exit": "SystemExit: 4",
            "stop": "StopIteration",
            "give a lock": "cannot pickle",
        }.items():
            with pytest.raises(RemoteError, match=message) as caught:
                await client.remote(Fragile).work(what)
            assert caught.value.executed == "yes"
            assert "in _work" in caught.value.remote_traceback
        assert isinstance(await client.remote(Fragile).work("tell"), int)


async def test_the_traceback_of_a_process_stays_where_the_server_does_not_allow_it(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Fragile()):
        for what in ("raise", "raise odd"):
            with pytest.raises(RemoteError) as caught:
                await client.remote(Fragile).work(what)
            assert caught.value.remote_traceback == ""


async def test_a_service_that_cannot_be_copied_into_a_process_is_refused(host: Rabbit) -> None:
    with pytest.raises(ContractError, match=r"unpicklable\.work.*cannot be pickled.*lock"):
        async with host.serving(Unpicklable()):
            pass


# -- the main module, which worker processes import ------------------------------------------------


async def test_a_program_with_a_guarded_main_module_serves(
    tmp_path: Path, rabbitmq_url: str
) -> None:
    guarded = 'if __name__ == "__main__":\n    leveret.run(main())\n'
    assert await run_program(tmp_path, guarded, rabbitmq_url) == (0, "3\n", "")


async def test_a_program_without_the_guard_ends_with_one_error_that_says_to_add_it(
    tmp_path: Path, rabbitmq_url: str
) -> None:
    code, out, errors = await run_program(tmp_path, "leveret.run(main())\n", rabbitmq_url)
    assert (code, out) == (1, "")
    assert errors.count("Traceback (most recent call last)") == 1
    assert errors.splitlines()[-1] == (
        "leveret.errors.ContractError: worker processes (executor='process') import the program's"
        " main module anew, and it serves when it is imported; begin what it does when it is run"
        ' with `if __name__ == "__main__":`'
    )


async def test_a_main_module_that_workers_cannot_import_is_told_at_the_start(
    tmp_path: Path, rabbitmq_url: str
) -> None:
    fails = 'if __name__ != "__main__":\n    sys.exit(3)\nleveret.run(main())\n'
    code, out, errors = await run_program(tmp_path, fails, rabbitmq_url)
    assert (code, out) == (1, "")
    assert "a worker process (executor='process') died at its start (exit code 3)" in errors


async def test_a_worker_that_cannot_be_started_anew_says_that_the_handler_did_not_run(
    client: Rabbit, host: Rabbit, request: pytest.FixtureRequest
) -> None:
    remote = client.remote(Fragile)
    spawning = multiprocessing.get_context("spawn")
    request.addfinalizer(lambda: spawning.set_executable(sys.executable))
    async with host.serving(Fragile()):
        spawning.set_executable(shutil.which("false") or "")
        with pytest.raises(RemoteError, match=r"died \(exit code 3\)"):
            await remote.work("die")
        with pytest.raises(RemoteError, match=r"died at its start \(exit code 1\)") as caught:
            await remote.work("tell")
    assert caught.value.executed == "no"
