"""Heartbeats: by a clock of the test's own, and once for real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Heartbeat as HeartbeatFrame
from leveret.amqp.frames import HEARTBEAT
from leveret.errors import ConnectionLost
from leveret.transport import channel as channel_module
from leveret.transport.heartbeat import Heartbeat
from tests.unit.transport.clock import Clock
from tests.unit.transport.scripted_peer import PeerServer

INTERVAL = 10


class Traffic:
    """Stands where the connection is, and notes what the heartbeat does to it."""

    def __init__(self) -> None:
        self.loop = Clock()
        self.sent_at: list[float] = []
        self.aborted: list[tuple[float, str]] = []
        self.reads = self.writes = 0
        self.heartbeat = Heartbeat(
            self.loop.loop,
            traffic=lambda: (self.reads, self.writes),
            send=self.send,
            dead=self.abort,
        )

    def send(self, data: bytes) -> None:
        assert data == HEARTBEAT
        self.sent_at.append(self.loop.time())
        self.loop.call_later(0, self.write)

    def write(self) -> None:
        """As a flush does, whatever is in it."""
        self.writes += 1

    def hear(self) -> None:
        """As a read does."""
        self.reads += 1

    def abort(self, reason: str) -> None:
        self.aborted.append((self.loop.time(), reason))

    def every(self, seconds: float, do: Callable[[], None], until: float) -> None:
        """Have something happen again and again."""
        at = seconds
        while at <= until:
            self.loop.call_at(at, do)
            at += seconds


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def test_an_idle_connection_sends_one_in_every_interval(traffic: Traffic) -> None:
    traffic.every(3, traffic.hear, until=100)
    traffic.heartbeat.start(INTERVAL)
    traffic.loop.advance(100)
    gaps = [b - a for a, b in zip([0.0, *traffic.sent_at], traffic.sent_at, strict=False)]
    assert 9 <= len(gaps) <= 11
    assert max(gaps) <= INTERVAL
    assert traffic.aborted == []


def test_a_busy_connection_sends_none(traffic: Traffic) -> None:
    traffic.every(3, traffic.hear, until=100)
    traffic.every(4, traffic.write, until=100)
    traffic.heartbeat.start(INTERVAL)
    traffic.loop.advance(100)
    assert traffic.sent_at == []


@pytest.mark.parametrize("last_heard", [0.0, 0.1, 4.9, 5.1, 9.9, 33.0])
def test_a_silent_broker_is_given_up_after_two_intervals(
    traffic: Traffic, last_heard: float
) -> None:
    if last_heard:
        traffic.every(1, traffic.hear, until=last_heard)
        traffic.loop.call_at(last_heard, traffic.hear)
    traffic.heartbeat.start(INTERVAL)
    traffic.loop.advance(200)
    ((at, reason),) = traffic.aborted
    assert 2 * INTERVAL <= at - last_heard <= 2.5 * INTERVAL
    assert reason == "nothing heard from the broker for 20 s (heartbeat)"


def test_one_sign_of_life_per_two_intervals_is_enough(traffic: Traffic) -> None:
    traffic.every(2 * INTERVAL - 1, traffic.hear, until=500)
    traffic.heartbeat.start(INTERVAL)
    traffic.loop.advance(500)
    assert traffic.aborted == []


def test_an_interval_of_zero_means_none(traffic: Traffic) -> None:
    traffic.heartbeat.start(0)
    traffic.loop.advance(1000)
    assert (traffic.sent_at, traffic.aborted, traffic.loop.timers) == ([], [], 0)


def test_stop_leaves_no_timer(traffic: Traffic) -> None:
    traffic.heartbeat.start(INTERVAL)
    traffic.loop.advance(7)
    traffic.heartbeat.stop()
    traffic.heartbeat.stop()
    assert traffic.loop.timers == 0


# -- for real --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_peer_that_falls_silent_is_given_up(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "METHOD_TIMEOUT", 600)  # not what ends the call
    loop = asyncio.get_running_loop()
    opening = server.opening("heartbeat=1")
    peer = await server.accept()
    tuned = await peer.tune(heartbeat=60)
    await peer.answer(methods.Connection.Open, methods.Connection.OpenOk())
    connection = await opening
    silent_since = loop.time()
    assert tuned.heartbeat == 1

    opening_channel = asyncio.create_task(connection.open_channel())
    await peer.get(methods.Channel.Open)
    await peer.get(HeartbeatFrame)  # nothing else is sent
    with pytest.raises(ConnectionLost, match="nothing heard from the broker for 2 s"):
        await opening_channel
    assert loop.time() - silent_since > 1.9  # it was not given up early
    await peer.ended()
