"""`Link`: one connection after the other, and members that are restored on each."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest

from leveret.amqp import methods
from leveret.errors import Busy, ConnectionClosed, ConnectionLost, LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.link import ConnectionEvent, Link, State
from leveret.transport.reconnect import NEVER, Reconnect
from leveret.transport.url import parse_url
from tests.unit.transport.scripted_peer import PATIENCE, Peer, PeerServer, until

SOON = Reconnect(first=0.01, most=0.02)


class Member:
    """Lives on a link. `fails` are the errors of its next attempts, the first of them first."""

    def __init__(self, *fails: BaseException) -> None:
        self.fails = list(fails)
        self.attempts: list[Connection] = []
        self.attached: list[Channel] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def attach(self, connection: Connection) -> Channel:
        self.attempts.append(connection)
        await self.go_on.wait()
        if self.fails:
            raise self.fails.pop(0)
        self.attached.append(Channel(connection, 99))
        return self.attached[-1]


@asynccontextmanager
async def linked(
    server: PeerServer,
    reconnect: Reconnect = SOON,
    on_event: Callable[[ConnectionEvent], None] | None = None,
) -> AsyncIterator[tuple[Link, Peer]]:
    """An open link, and its first peer."""
    link = Link(
        parse_url(server.url()),
        name="a test",
        max_message_size=1024,
        reconnect=reconnect,
        on_event=on_event,
    )
    opening = asyncio.create_task(link.open())
    peer = await take(server)
    await opening
    server.connections.append(link.connection)
    try:
        yield link, peer
    finally:
        link.abort("the test is over")
        async with asyncio.timeout(PATIENCE):
            await link.close()


async def take(server: PeerServer) -> Peer:
    peer = await server.accept()
    await peer.handshake()
    return peer


async def test_a_connection_that_breaks_is_opened_again(server: PeerServer) -> None:
    events: list[ConnectionEvent] = []
    async with linked(server, on_event=events.append) as (link, peer):
        first = link.connection
        peer.hang_up()
        await until(lambda: link.state is State.RECONNECTING, "the loss is seen")
        waiting = asyncio.create_task(link.connected())
        await take(server)
        assert await waiting is link.connection is not first
    states = [event.state for event in events]
    assert states[:3] == [State.CONNECTED, State.RECONNECTING, State.CONNECTED]
    assert states[-1] is State.CLOSED
    assert "closed the socket" in events[1].reason


async def test_a_member_is_restored_however_often_it_takes(server: PeerServer) -> None:
    async with linked(server) as (link, _):
        member = Member(Busy("not now"), ZeroDivisionError("a bug"), Busy("not now"))
        link.restore(member)
        await until(lambda: bool(member.attached), "it is attached")
        assert member.attempts == [link.connection] * 4


async def test_a_member_that_is_being_restored_is_not_restored_twice(server: PeerServer) -> None:
    async with linked(server) as (link, _):
        member = Member()
        for _ in range(3):
            link.restore(member)
        await until(lambda: bool(member.attached), "it is attached")
        await asyncio.sleep(0.02)
        assert len(member.attached) == 1


async def test_a_member_is_attached_again_if_its_channel_has_ended_already(
    server: PeerServer,
) -> None:
    async with linked(server) as (link, _):
        member = Member()
        member.go_on.clear()
        link.restore(member)
        await until(lambda: len(member.attempts) == 1, "it begins")
        attach = member.attach

        async def ended(connection: Connection) -> Channel:
            channel = await attach(connection)
            if len(member.attached) == 1:
                channel.end(Busy("at once"))
            return channel

        link.restore(again := Member())
        again.attach = ended  # type: ignore[method-assign]
        member.go_on.set()
        await until(lambda: len(member.attached) == 3, "both are attached, one of them twice")


async def test_a_broker_that_does_not_answer_a_member_costs_the_connection(
    server: PeerServer,
) -> None:
    async with linked(server) as (link, _):
        first = link.connection
        member = Member(ConnectionLost("no answer"))
        link.restore(member)
        await until(lambda: first.closed is not None, "the connection is dropped")
        await take(server)
        await until(lambda: bool(member.attached), "it is attached to the next one")
        assert member.attempts == [first, link.connection]


async def test_a_member_that_is_released_is_not_restored_any_more(server: PeerServer) -> None:
    async with linked(server) as (link, _):
        member = Member()
        member.go_on.clear()
        link.restore(member)
        await until(lambda: len(member.attempts) == 1, "it begins")
        await link.release(member)
        await link.release(member)  # which it is already
        member.go_on.set()
        await asyncio.sleep(0.02)
        assert member.attached == []


async def test_release_with_patience_waits_for_the_attempt_under_way(server: PeerServer) -> None:
    async with linked(server) as (link, _):
        member = Member()
        member.go_on.clear()
        link.restore(member)
        await until(lambda: len(member.attempts) == 1, "it begins")
        releasing = asyncio.create_task(link.release(member, patience=PATIENCE))
        await asyncio.sleep(0)
        member.go_on.set()
        await releasing
        assert len(member.attached) == 1


async def test_without_reconnect_the_link_ends_with_its_connection(server: PeerServer) -> None:
    async with linked(server, NEVER) as (link, peer):
        peer.hang_up()
        with pytest.raises(ConnectionLost, match="closed the socket"):
            await asyncio.wait_for(asyncio.shield(link.closed), PATIENCE)
        with pytest.raises(ConnectionLost, match="not connected") as raised:
            await link.connected()
        assert raised.value.executed == "no"
        member = Member()
        link.restore(member)
        await asyncio.sleep(0)
        assert member.attempts == []


async def test_after_so_many_failed_attempts_the_link_gives_up(server: PeerServer) -> None:
    async with linked(server, Reconnect(first=0.01, most=0.01, attempts=2)) as (link, peer):
        peer.hang_up()
        for _ in range(2):
            (await server.accept()).hang_up()
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await asyncio.wait_for(asyncio.shield(link.closed), PATIENCE)
        assert (link.state, server.accepted) == (State.CLOSED, 3)


async def open_and_break(link: Link, server: PeerServer, times: int) -> None:
    for _ in range(times):
        peer = await take(server)
        await until(lambda: link.state is State.CONNECTED, "it is connected")
        peer.send(methods.Connection.Close(reply_code=530, reply_text="NOT_ALLOWED - too many"))
        await peer.get(methods.Connection.CloseOk)


async def test_connections_that_open_and_break_at_once_count_as_failed_attempts(
    server: PeerServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.transport")
    async with linked(server, Reconnect(first=0.01, most=0.01, attempts=20)) as (link, peer):
        peer.hang_up()
        await open_and_break(link, server, 20)
        with pytest.raises(ConnectionClosed, match="too many"):
            await asyncio.wait_for(asyncio.shield(link.closed), PATIENCE)
        assert (link.state, server.accepted) == (State.CLOSED, 21)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("too many" in line for line in lines) == 5, "after 1, 2, 4, 8 and 16 attempts"
    assert len(lines) < 10


async def test_the_pauses_grow_until_a_connection_has_held(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.transport")
    asked: list[int] = []

    def pause(_: Reconnect, attempt: int) -> float:
        asked.append(attempt)
        return 0.0

    monkeypatch.setattr(Reconnect, "pause", pause)
    async with linked(server) as (link, peer):
        peer.hang_up()
        await open_and_break(link, server, 3)
        monkeypatch.setattr("leveret.transport.link.HELD", 0.0)
        held = await take(server)
        await until(lambda: "at attempt 4" in caplog.text, "it has held")
        held.hang_up()
        await take(server)
        await until(lambda: link.state is State.CONNECTED, "it is connected again")
    assert asked == [1, 2, 3, 4, 1]


async def test_a_hook_that_fails_is_logged_and_costs_nothing(
    server: PeerServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: ConnectionEvent) -> None:
        raise ZeroDivisionError

    async with linked(server, on_event=fail) as (link, _):
        assert link.state is State.CONNECTED
    assert "the on_connection hook failed" in caplog.text


async def test_patience_has_open_try_again(server: PeerServer) -> None:
    link = Link(parse_url(server.url()), name="a test", max_message_size=1, reconnect=SOON)
    opening = asyncio.create_task(link.open(patience=PATIENCE))
    (await server.accept()).hang_up()
    await take(server)
    await opening
    link.abort("the test is over")
    await link.close()
    assert isinstance(link.failure, LeveretError)


async def test_the_log_has_a_line_for_each_attempt_and_one_for_the_first_connection(
    server: PeerServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.transport")
    link = Link(parse_url(server.url()), name="a test", max_message_size=1024, reconnect=SOON)
    opening = asyncio.create_task(link.open(patience=inf))
    (await server.accept()).hang_up()
    await until(lambda: link.failure is not None, "the first attempt has failed")
    assert link.state is State.CONNECTING
    await take(server)
    await opening
    assert link.failure is None
    server.connections.append(link.connection)
    link.abort("the test is over")
    await link.close()
    levels = [(record.levelname, record.getMessage()) for record in caplog.records][:2]
    (first, failed), (second, connected) = levels
    assert (first, second) == ("WARNING", "INFO")
    assert re.search(r"^\S+: attempt 1 to connect failed: cannot connect to", failed)
    assert re.search(r"^\S+: connected, at attempt 2$", connected)


async def test_an_opening_that_is_bounded_gives_up(server: PeerServer) -> None:
    link = Link(parse_url(server.url()), name="a test", max_message_size=1024, reconnect=SOON)
    opening = asyncio.create_task(link.open(patience=inf, attempts=2))
    for _ in range(2):
        (await server.accept()).hang_up()
    with pytest.raises(ConnectionLost) as caught:
        await opening
    link.fail(caught.value)
    assert (link.state, link.failure) == (State.CLOSED, caught.value)
    with pytest.raises(ConnectionLost, match="not connected: cannot connect"):
        await link.connected()
    await link.close()
