"""Handlers that exit, interrupt, never return or eat memory: answered, and survived."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from leveret import DeadlineExceeded, InvalidArgument, Rabbit, RemoteError, Service, method
from tests.behaviour.cli_commands import Commands
from tests.behaviour.patience import at_once

_SPARE = 256 * 1024 * 1024
"""Bytes that a worker may take beyond what it has."""


class Panic(BaseException):
    """What libraries in Rust raise: it is no `Exception`."""


@dataclass
class Deadly:
    """A type whose check ends the process, as a client's bytes have it."""

    how: str

    def __post_init__(self) -> None:
        match self.how:
            case "sys.exit":
                sys.exit(5)
            case "panic":
                raise Panic("called `Option::unwrap()` on a `None` value")


class OnTheLoop(Service):
    """Does what no handler should."""

    @method(timeout=5)
    async def take(self, what: Deadly) -> None:
        pass

    @method(timeout=5)
    async def take_all(self, what: AsyncIterator[Deadly]) -> None:
        async for _ in what:
            pass

    @method(timeout=30)
    async def leave(self, how: str) -> None:
        match how:
            case "sys.exit":
                sys.exit(3)
            case "SystemExit":
                raise SystemExit("told to go")
            case "GeneratorExit":
                raise GeneratorExit

    @method(timeout=1)
    async def hang(self) -> None:
        await asyncio.Event().wait()

    @method(timeout=1)
    async def refuse_to_be_cancelled(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "too late"

    @method
    async def alive(self) -> bool:
        return True


class Unchecked(Service, name="on_the_loop"):
    """The same for a client that does not check what it sends."""

    @method(timeout=5)
    async def take(self, what: dict[str, str]) -> None: ...

    @method(timeout=5)
    async def take_all(self, what: AsyncIterator[dict[str, str]]) -> None: ...


class InAThread(Service):
    def __init__(self) -> None:
        self.opened = threading.Event()

    @method(timeout=1, concurrency=2)
    def hang(self) -> None:
        self.opened.wait(30)

    @method
    def leave(self) -> None:
        sys.exit(4)

    @method
    def leave_a_stream(self, when: str) -> Iterator[int]:
        if when == "before it begins":
            sys.exit(4)
        return self._left(when)

    def _left(self, when: str) -> Iterator[int]:
        try:
            yield 1
            if when == "between two items":
                sys.exit(4)
            if when == "as if it were closed":
                raise GeneratorExit
            yield 2
        finally:
            if when == "when it is closed":
                sys.exit(4)

    @method
    def alive(self) -> bool:
        return True


class InAProcess(Service):
    """One call at a time, in a process that is replaced when it dies."""

    @method(executor="process", timeout=30, concurrency=1)
    def do(self, what: str) -> int:
        match what:
            case "sys.exit":
                sys.exit(3)
            case "os._exit":
                os._exit(5)
            case "interrupt":
                raise KeyboardInterrupt
            case "eat memory":
                _allow_little_memory()
                eaten = []
                while True:
                    eaten.append(bytearray(16 * 1024 * 1024))
            case "be killed for memory":
                os.kill(os.getpid(), 9)  # as the kernel does, which asks nobody
        return os.getpid()


def _allow_little_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _SPARE, resource.RLIM_INFINITY))


@pytest.mark.parametrize("how", ["sys.exit", "SystemExit", "GeneratorExit"])
async def test_a_handler_that_exits_on_the_loop_is_an_error_to_its_caller_alone(
    client: Rabbit, host: Rabbit, how: str
) -> None:
    remote = client.remote(OnTheLoop)
    async with host.serving(OnTheLoop()):
        kind = "GeneratorExit" if how == "GeneratorExit" else "SystemExit"
        with pytest.raises(RemoteError, match=kind) as caught:
            await remote.leave(how)
        assert caught.value.executed == "yes"
        assert await remote.alive()


@pytest.mark.parametrize("how", ["sys.exit", "panic"])
async def test_an_argument_whose_check_exits_is_an_error_to_its_caller_alone(
    client: Rabbit, host: Rabbit, how: str
) -> None:
    async def upload() -> AsyncIterator[dict[str, str]]:
        yield {"how": how}

    unchecked = client.remote(Unchecked)
    async with host.serving(OnTheLoop()):
        with pytest.raises(InvalidArgument, match="5|unwrap") as caught:
            await unchecked.take({"how": how})
        assert caught.value.executed == "no"
        with pytest.raises(InvalidArgument, match="item 1 of the upload: (5|called)"):
            await unchecked.take_all(upload())
        assert await client.remote(OnTheLoop).alive()


@pytest.mark.parametrize(
    "when", ["before it begins", "between two items", "when it is closed", "as if it were closed"]
)
async def test_a_stream_in_a_thread_that_exits_is_an_error_to_its_caller_alone(
    client: Rabbit, host: Rabbit, when: str
) -> None:
    remote = client.remote(InAThread)
    what = "GeneratorExit" if when == "as if it were closed" else "SystemExit: 4"
    async with host.serving(InAThread()):
        with pytest.raises(RemoteError, match=f"stream: {what}") as caught:
            async for _ in remote.leave_a_stream(when):
                pass
        assert caught.value.executed == "yes"
        assert await remote.alive()


@pytest.mark.parametrize("how", ["hang", "refuse_to_be_cancelled"])
@pytest.mark.usefixtures("patient_clients")
async def test_a_handler_that_never_returns_ends_its_call_at_the_deadline(
    client: Rabbit, host: Rabbit, how: str
) -> None:
    remote = client.remote(OnTheLoop)
    async with host.serving(OnTheLoop()) as server:
        with pytest.raises(DeadlineExceeded) as caught:
            await getattr(remote, how)()
        assert (caught.value.where, caught.value.executed) == ("handler", "yes")
        assert await remote.alive()
        assert server.calls() == []
    assert client.late_replies == 0


@pytest.mark.usefixtures("patient_clients")
async def test_a_thread_that_never_returns_takes_one_place_and_no_other_calls(
    client: Rabbit, host: Rabbit
) -> None:
    service = InAThread()
    remote = client.remote(InAThread)
    async with host.serving(service, grace=0.1):
        with pytest.raises(DeadlineExceeded) as caught:
            await remote.hang()
        assert (caught.value.where, caught.value.executed) == ("handler", "yes")
        with pytest.raises(RemoteError, match="SystemExit: 4") as left:
            await remote.leave()
        assert left.value.executed == "yes"
        assert await remote.alive()
        service.opened.set()


@pytest.mark.parametrize(
    ("what", "said", "executed"),
    [
        ("sys.exit", "SystemExit: 3", "yes"),
        ("interrupt", "KeyboardInterrupt", "yes"),
        ("eat memory", "MemoryError", "yes"),
        ("os._exit", r"died \(exit code 5\)", "maybe"),
        ("be killed for memory", r"died \(exit code -9\)", "maybe"),
    ],
)
async def test_a_worker_process_that_exits_or_eats_memory_is_an_error_to_its_caller_alone(
    client: Rabbit, host: Rabbit, what: str, said: str, executed: str
) -> None:
    remote = client.remote(InAProcess)
    async with host.serving(InAProcess()):
        async with at_once():
            with pytest.raises(RemoteError, match=said) as caught:
                await remote.do(what)
        assert caught.value.executed == executed
        assert await remote.do("tell") != os.getpid()


async def test_a_handler_that_interrupts_ends_its_worker_alone_and_its_caller_is_answered(
    client: Rabbit, rabbitmq_url: str, tmp_path: Path
) -> None:
    (tmp_path / "interrupted.py").write_text(
        "import leveret\n"
        "class Interrupted(leveret.Service):\n"
        "    @leveret.method\n"
        "    async def interrupt(self) -> None:\n"
        "        raise KeyboardInterrupt\n"
        "    @leveret.method\n"
        "    async def alive(self) -> bool:\n"
        "        return True\n"
    )
    async with Commands(tmp_path, rabbitmq_url) as commands:
        server, _ = await commands.serve_with_workers("interrupted:Interrupted")
        with pytest.raises(RemoteError, match="KeyboardInterrupt") as caught:
            await client.call("interrupted.interrupt")
        assert caught.value.executed == "yes"
        await server.says("ended: a handler raised KeyboardInterrupt; starting another in")
        assert await client.call("interrupted.alive")
