"""How many of Leveret's own functions a warm call runs: its speed, as a number that does not vary.

Client, server and the embedded broker have a thread each, so that a profile function per thread
sees what one of them does. A thread makes calls one after the other; its functions are counted for
each call, and the median of a batch is taken, which leaves out the timers that now and then fall
into a call. On a busy machine they fall into most calls of some batches: the best batch counts.
A coroutine that goes on after it waited counts again: that is a call for Python too.

The budget of a room is for its own folder. What a room has others do for it is bounded as well: by
the total, in which transport, wire, codec and amqp are counted.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median_low
from types import FrameType
from typing import Any, Final

import pytest

import leveret
from leveret import Service, method
from leveret.rabbit import traced
from tests.brokers import Loop, OnEmbedded

CLIENT: Final = 10
"""Functions of `leveret.client` per call."""
SERVER: Final = 24
"""Functions of `leveret.server` per delivery."""
CLIENT_IN_ALL: Final = 33
"""Functions of all of `leveret` per call at the client, with the confirm read by itself."""
SERVER_IN_ALL: Final = 48
"""Functions of all of `leveret` per delivery at the server."""

_PACKAGE = str(Path(leveret.__file__).parent) + "/"
_WARM = 50
_CALLS = 400
_BATCH = 5


def batched(counts: list[int], size: int) -> list[list[int]]:
    """The counts in batches of this size; what is left over is in none."""
    return [counts[at : at + size] for at in range(0, len(counts) - size + 1, size)]


class Sums(Service):
    """A method that costs nothing."""

    @method
    async def add(self, a: int, b: int) -> int:
        return a + b


class Tally:
    """The functions of Leveret that one thread ran, call by call: `client/invocation.py call`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = [[]]

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PACKAGE):
            file = code.co_filename.removeprefix(_PACKAGE)
            self.calls[-1].append(f"{file} {code.co_qualname}")

    def next_call(self) -> None:
        self.calls.append([])

    def per_call(self, folder: str = "") -> int:
        """How many functions of the files in this folder run for a call."""
        counts = [sum(it.startswith(folder) for it in functions) for functions in self.calls]
        return min(median_low(batch) for batch in batched(counts, _BATCH))

    def shown(self) -> str:
        """The functions that every call runs, and how often."""
        counts = Counter(it for functions in self.calls for it in functions)
        every = {it: round(n / len(self.calls)) for it, n in counts.items()}
        return "\n".join(f"{n} {it}" for it, n in every.items() if n)


class Server:
    """A server of `Sums` on an event loop in a thread of its own."""

    def __init__(self, loop: Loop, url: str) -> None:
        self._loop = loop
        self._url = url
        self._stack = AsyncExitStack()

    async def _open(self) -> None:
        rabbit = await self._stack.enter_async_context(leveret.connect(self._url))
        await self._stack.enter_async_context(rabbit.serving(Sums()))

    async def _profile(self, tally: Callable[[FrameType, str, Any], object] | None) -> None:
        sys.setprofile(tally)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._loop.run(self._open())
        try:
            yield
        finally:
            self._loop.run(self._stack.aclose())

    @contextmanager
    def profiled(self, tally: Tally) -> Iterator[None]:
        self._loop.run(self._profile(tally))
        try:
            yield
        finally:
            self._loop.run(self._profile(None))


async def _call(url: str, server: Server, at_client: Tally, at_server: Tally) -> None:
    async with leveret.connect(url) as rabbit:
        sums = rabbit.remote(Sums)
        for number in range(_WARM):
            await sums.add(number, 1)
        with server.profiled(at_server):
            sys.setprofile(at_client)
            try:
                for number in range(_CALLS):
                    assert await sums.add(number, 1) == number + 1
                    at_client.next_call()
                    at_server.next_call()
            finally:
                sys.setprofile(None)


@contextmanager
def untraced() -> Iterator[None]:
    """Calls are not traced, even if another test has imported OpenTelemetry into this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traced, "_IMPORTED", ())
        yield


@pytest.fixture(scope="module")
def tallies() -> tuple[Tally, Tally]:
    """What a client and a server did for the same calls."""
    with untraced():
        return _tallies()


def _tallies() -> tuple[Tally, Tally]:
    at_client, at_server = Tally(), Tally()
    with Loop() as of_broker, Loop() as of_server:
        broker = OnEmbedded(of_broker)
        server = Server(of_server, broker.url)
        with server.running():
            asyncio.run(_call(broker.url, server, at_client, at_server))
        broker.close()
    return at_client, at_server


def test_a_call_costs_the_client_few_functions(tallies: tuple[Tally, Tally]) -> None:
    at_client, _ = tallies
    assert 0 < at_client.per_call("client/") <= CLIENT, at_client.shown()
    assert at_client.per_call() <= CLIENT_IN_ALL, at_client.shown()


def test_a_delivery_costs_the_server_few_functions(tallies: tuple[Tally, Tally]) -> None:
    _, at_server = tallies
    assert 0 < at_server.per_call("server/") <= SERVER, at_server.shown()
    assert at_server.per_call() <= SERVER_IN_ALL, at_server.shown()


def test_what_is_counted_is_the_whole_call(tallies: tuple[Tally, Tally]) -> None:
    at_client, at_server = tallies
    for folder in ("client/", "wire/", "transport/", "amqp/", "codec/"):
        assert at_client.per_call(folder) > 0, folder
    for folder in ("server/", "wire/", "transport/", "amqp/"):
        assert at_server.per_call(folder) > 0, folder
