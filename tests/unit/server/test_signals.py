"""Signals of a process in which servers run, alone or beside a host program."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

import pytest

from leveret.server.signals import Echoes, stop_signals
from tests.unit.transport.conftest import pytest_asyncio_loop_factories as _loops

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return _loops(config, item)


class Host:
    """A program that handles signals by itself."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def host() -> Host:
    host = Host()
    for number in NUMBERS:
        signal.signal(number, host)
    return host


def nothing() -> None:
    """A second signal changes nothing."""


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_signal_is_heard_by_the_server_and_by_its_host(number: int, host: Host) -> None:
    with stop_signals(nothing) as stopped:
        signal.raise_signal(number)
        await asyncio.wait_for(stopped, 10)
    assert host.heard == [number]
    signal.raise_signal(number)
    assert host.heard == [number, number]


async def test_each_server_hears_the_first_signal_and_each_further_one(host: Host) -> None:
    again: list[str] = []
    told = asyncio.Event()

    def third() -> None:
        again.append("three")
        told.set()

    with (
        stop_signals(lambda: again.append("one")) as one,
        stop_signals(lambda: again.append("two")) as two,
        stop_signals(third) as three,
    ):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # an echo
        await asyncio.wait_for(asyncio.gather(one, two, three), 10)
        signal.raise_signal(signal.SIGINT)
        await asyncio.wait_for(told.wait(), 10)
    assert again == ["one", "two", "three"]
    assert host.heard == [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize(
    ("first", "second", "seconds", "is_echo"),
    [
        (signal.SIGTERM, signal.SIGTERM, 0.0, True),
        (signal.SIGTERM, signal.SIGTERM, 0.9, True),
        (signal.SIGTERM, signal.SIGTERM, 1.1, False),
        (signal.SIGHUP, signal.SIGHUP, 0.5, True),
        (signal.SIGTERM, signal.SIGHUP, 0.5, True),
        (signal.SIGINT, signal.SIGINT, 0.0, False),
        (signal.SIGTERM, signal.SIGINT, 0.0, False),
        (signal.SIGINT, signal.SIGTERM, 0.0, False),
    ],
    ids=str,
)
def test_an_echo_comes_soon_and_from_no_keyboard(
    first: int, second: int, seconds: float, is_echo: bool
) -> None:
    now = 100.0
    echoes = Echoes(lambda: now)
    assert not echoes.is_echo(first)
    now += seconds
    assert echoes.is_echo(second) == is_echo
    now += 1.1
    assert not echoes.is_echo(second)


async def test_there_is_no_echo_once_the_program_has_begun_to_stop() -> None:
    echoes = Echoes()
    assert not echoes.is_echo(signal.SIGTERM)
    echoes.end(asyncio.get_running_loop(), passes=1)
    assert echoes.is_echo(signal.SIGTERM)
    await asyncio.sleep(0)
    assert not echoes.is_echo(signal.SIGTERM)


async def test_a_host_that_listens_by_the_event_loop_hears_it_too() -> None:
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        with stop_signals(nothing) as stopped:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(stopped, heard.wait()), 10)
        heard.clear()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 10)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_what_only_interrupts_the_program_is_not_called_but_comes_back() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with stop_signals(nothing) as stopped:
        signal.raise_signal(signal.SIGINT)
        await asyncio.wait_for(stopped, 10)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_handler_that_the_host_sets_meanwhile_stays(host: Host) -> None:
    later = Host()
    with stop_signals(nothing):
        signal.signal(signal.SIGTERM, later)
    assert signal.getsignal(signal.SIGTERM) is later
    assert signal.getsignal(signal.SIGINT) is host


async def test_who_does_not_listen_leaves_the_signals_alone(host: Host) -> None:
    with stop_signals(nothing, listen=False) as stopped:
        assert signal.getsignal(signal.SIGTERM) is host
    assert not stopped.done()


async def test_outside_of_the_main_thread_no_signal_is_heard(host: Host) -> None:
    async def elsewhere() -> bool:
        with stop_signals(nothing) as stopped:
            assert signal.getsignal(signal.SIGTERM) is host
            return stopped.done()

    assert not await asyncio.to_thread(asyncio.run, elsewhere())


def test_asyncio_run_gets_its_own_handler_back() -> None:
    async def main() -> tuple[object, object]:
        before = signal.getsignal(signal.SIGINT)
        with stop_signals(nothing) as stopped:
            signal.raise_signal(signal.SIGINT)
            await asyncio.wait_for(stopped, 10)  # and nobody cancels this
        return before, signal.getsignal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    before, after = asyncio.run(main())
    assert before is after
