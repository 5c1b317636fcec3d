"""A link between a transport that is scripted and a session, by a clock that only a test moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.codes import PROTOCOL_HEADER
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.properties import Properties
from leveret.broker.limits import Limits
from leveret.broker.link import Link
from leveret.broker.model.clock import Clock
from leveret.broker.node import Node
from leveret.broker.permissions import User
from leveret.broker.session.session import Session
from tests.unit.broker.world import start_ok


class Transport(asyncio.Transport):
    """Notes what a link asks of it."""

    def __init__(self) -> None:
        super().__init__({"peername": "test"})
        self.written = b""
        self.buffered = 0
        self.high = 0
        self.reading = True
        self.closed = False
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Host:
    """A broker with one client, whose passes end when a test says so."""

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**limits)
        self.clock = Clock(100.0)
        self.node = Node({"guest": User(password="guest")}, ("/",), self.limits, self.clock)
        self.full = False
        self.links_closed = 0
        self.link = Link(self)
        self.transport = Transport()

    def open_session(self, link: Link, peer: str) -> Session | None:
        return None if self.full else self.node.open_session(link, peer)

    def closed(self, link: Link) -> None:
        self.links_closed += 1

    def set_clock(self) -> float:
        return self.clock.now

    def pass_ended(self) -> None:
        while self.node.batch.writes:
            self.node.batch.write()
        self.node.end_pass()

    def connect(self) -> None:
        self.link.connection_made(self.transport)

    def say(self, channel: int, *said: AMQPMethod) -> None:
        for method in said:
            self.link.data_received(frames.method_frame(channel, method))

    def open(self, heartbeat: int = 0) -> None:
        """Connect, and go through the handshake to an open channel 1 with a queue "q"."""
        self.connect()
        self.link.data_received(PROTOCOL_HEADER)
        tune_ok = methods.Connection.TuneOk(channel_max=9, frame_max=131_072, heartbeat=heartbeat)
        self.say(0, start_ok(), tune_ok, methods.Connection.Open(virtual_host="/"))
        self.say(1, methods.Channel.Open(), methods.Queue.Declare(queue="q"))
        self.transport.written = b""

    def later(self, seconds: float) -> None:
        self.clock.tick(self.clock.now + seconds)
        self.pass_ended()


async def test_a_client_too_many_is_hung_up_on() -> None:
    host = Host()
    host.full = True
    host.connect()
    assert host.transport.aborted
    host.link.data_received(PROTOCOL_HEADER)
    assert host.transport.written == b""


async def test_a_handshake_has_a_time_limit() -> None:
    host = Host(handshake_timeout=3.0)
    host.connect()
    host.link.data_received(PROTOCOL_HEADER)
    host.later(2.9)
    assert not host.transport.aborted
    host.later(0.2)
    assert host.transport.aborted


async def test_an_open_connection_has_none() -> None:
    host = Host(handshake_timeout=3.0)
    host.open()
    host.later(100)
    assert not host.transport.aborted


async def test_heartbeats_are_sent_twice_per_interval_and_a_silent_client_is_dropped() -> None:
    host = Host()
    host.open(heartbeat=10)
    for _ in range(4):
        host.later(5)
    assert host.transport.written == 4 * frames.HEARTBEAT
    assert not host.transport.aborted
    host.later(5)
    assert host.transport.aborted


async def test_a_loop_that_stood_still_costs_no_client_its_connection() -> None:
    host = Host()
    host.open(heartbeat=10)
    host.later(100)
    assert not host.transport.aborted
    for _ in range(3):
        host.later(5)
    assert not host.transport.aborted
    host.link.data_received(frames.HEARTBEAT)
    for _ in range(4):
        host.later(5)
    assert not host.transport.aborted
    host.later(5)
    assert host.transport.aborted


async def test_a_client_that_takes_nothing_is_dropped_after_a_time() -> None:
    host = Host(send_timeout=5.0)
    host.open()
    host.link.pause_writing()
    assert not host.transport.reading
    host.later(4)
    host.link.resume_writing()
    assert host.transport.reading
    host.later(9)
    assert not host.transport.aborted
    host.link.pause_writing()
    host.later(6)
    assert host.transport.aborted


async def test_the_transport_tells_of_room_at_the_size_at_which_the_output_has_some() -> None:
    host = Host(output=1000)
    host.open()
    assert host.transport.high == 500
    host.transport.buffered = 2000
    host.link.data_received(
        frames.publish(1, "", "q", Properties(), bytes(2000), frame_max=131_072)
    )
    host.say(1, methods.Basic.Get(queue="q", no_ack=True))
    host.say(1, methods.Basic.Get(queue="q", no_ack=True))
    assert not host.transport.reading, "the second get waits until the first was taken"
    written = host.transport.written
    host.transport.buffered = 0
    host.link.resume_writing()
    assert host.transport.reading
    assert len(host.transport.written) > len(written)


async def test_a_client_that_does_not_answer_a_close_is_dropped() -> None:
    host = Host()
    host.open()
    host.say(9, methods.Queue.Declare(queue="q"))  # on a channel that is not open
    assert b"CHANNEL_ERROR" in host.transport.written
    host.later(4.9)
    assert not host.transport.aborted
    host.later(0.2)
    assert host.transport.aborted


async def test_a_close_comes_after_what_is_to_be_written() -> None:
    host = Host()
    host.open()
    close = methods.Connection.Close(reply_code=200, reply_text="", class_id=0, method_id=0)
    host.say(0, close)
    assert host.transport.written == frames.method_frame(0, methods.Connection.CloseOk())
    assert host.transport.closed
    host.say(1, methods.Queue.Declare(queue="late"))
    assert "late" not in host.node.vhosts["/"].queues


async def test_a_broker_that_fails_closes_the_connection_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host()
    host.open()

    def fail(self: Session, data: bytes) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Session, "receive", fail)
    host.link.data_received(b"x")
    assert b"INTERNAL_ERROR - RuntimeError: a bug" in host.transport.written


async def test_a_lost_transport_ends_the_session() -> None:
    host = Host()
    host.open(heartbeat=10)
    host.link.connection_lost(None)
    assert host.link.closed.done()
    assert host.links_closed == 1
    assert not host.node.sessions
    host.later(100)
    assert host.transport.written == b""
