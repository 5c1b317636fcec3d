"""Which signals stop `leveret serve`, and which of them hurry it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from leveret.cli.serving.stopping import stop_numbers
from leveret.cli.serving.supervisor import handle_signals


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_terminal_that_closes_stops_it_unless_it_is_to_outlive_that() -> None:
    assert stop_numbers() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    assert stop_numbers() == (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize(
    ("numbers", "hurries"),
    [
        ([signal.SIGTERM, signal.SIGTERM], 0),
        ([signal.SIGHUP, signal.SIGTERM, signal.SIGHUP], 0),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGINT], 1),
        ([signal.SIGINT, signal.SIGINT, signal.SIGINT], 2),
    ],
    ids=str,
)
async def test_a_supervisor_hears_no_echo_of_the_first_signal(
    numbers: list[signal.Signals], hurries: int
) -> None:
    heard: list[str] = []
    passed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, passed.set)
    try:
        with handle_signals(lambda: heard.append("drain"), lambda: heard.append("hurry")):
            for number in (*numbers, signal.SIGUSR1):  # all before the loop hears the first
                signal.raise_signal(number)
            await asyncio.wait_for(passed.wait(), 15)
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
    assert heard == ["drain", *["hurry"] * hurries]
