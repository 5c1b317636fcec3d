"""How connections end, by either side or by neither, and who is told what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery, Publish
from leveret.amqp.properties import Properties
from leveret.errors import (
    AMQPError,
    ConnectionClosed,
    ConnectionLost,
    LeveretError,
    ProtocolError,
)
from leveret.transport import connection as connection_module
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.credentials import Login
from leveret.transport.handshake import Handshake
from leveret.transport.url import parse_url
from tests.unit.transport.scripted_peer import (
    PATIENCE,
    Peer,
    PeerServer,
    delivery,
    open_channel,
    until,
)

SHUTDOWN = methods.Connection.Close(reply_code=320, reply_text="CONNECTION_FORCED - shutdown")
DECLARE = methods.Queue.Declare(queue="q")
DECLARED = methods.Queue.DeclareOk(queue="q", message_count=0, consumer_count=0)


async def waiting_calls(
    peer: Peer, *channels: Channel
) -> list[asyncio.Task[methods.Queue.DeclareOk]]:
    """One call on each channel, which the peer has got and does not answer."""
    calls = [asyncio.create_task(channel.call(DECLARE)) for channel in channels]
    for channel in channels:
        await peer.get(methods.Queue.Declare, channel=channel.number)
    return calls


async def failures(calls: list[asyncio.Task[Any]]) -> list[BaseException]:
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*calls, return_exceptions=True)
    return [result for result in results if isinstance(result, BaseException)]


# -- the broker closes the connection --------------------------------------------------------------


async def test_a_close_by_the_broker_is_answered_and_told_to_all_who_wait(
    server: PeerServer,
) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    told: list[LeveretError] = []
    connection.on_close.append(told.append)
    one.on_close = told.append
    calls = await waiting_calls(peer, one, one, two)

    peer.send(SHUTDOWN)

    for failure in await failures(calls):
        assert isinstance(failure, ConnectionClosed)
        assert (failure.reply_code, failure.reply_text) == (320, "CONNECTION_FORCED - shutdown")
    await peer.get(methods.Connection.CloseOk)
    assert await peer.ended() == b""
    assert told == [connection.closed, connection.closed]
    assert one.closed is two.closed is connection.closed


async def test_a_close_while_a_channel_opens_is_told_to_who_opens_it(server: PeerServer) -> None:
    connection, peer = await server.connect()
    opening = asyncio.create_task(connection.open_channel())
    await peer.get(methods.Channel.Open)
    peer.send(SHUTDOWN)
    with pytest.raises(ConnectionClosed):
        await opening
    with pytest.raises(ConnectionLost, match="not connected: CONNECTION_FORCED") as raised:
        await connection.open_channel()
    assert raised.value.executed == "no"
    assert raised.value.__cause__ is connection.closed


async def test_a_close_in_one_read_with_an_answer_leaves_the_answer(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    answered, unanswered = await waiting_calls(peer, channel, channel)
    peer.send_bytes(frames.method_frame(1, DECLARED) + frames.method_frame(0, SHUTDOWN))
    assert (await answered).queue == "q"
    with pytest.raises(ConnectionClosed):
        await unanswered


async def test_a_broker_that_closes_and_does_not_hang_up_is_hung_up_on(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    connection, channel, peer = await server.channel()
    for _ in range(200):  # more than the peer's socket takes: it reads nothing
        channel.publish("", "q", Properties(), bytes(100_000))
    await until(lambda: connection.paused, "the peer takes no more")
    peer.send(SHUTDOWN)
    await until(lambda: connection.closed is not None, "the close is seen")
    assert not connection.paused
    await until(connection._gone.done, "the socket is closed")


# -- the socket breaks -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["hang_up", "reset"])
async def test_a_lost_socket_fails_all_who_wait_at_once(server: PeerServer, end: str) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    told: list[LeveretError] = []
    connection.on_close.append(told.append)
    calls = await waiting_calls(peer, one, two, two)
    getattr(peer, end)()
    assert {type(failure) for failure in await failures(calls)} == {ConnectionLost}
    assert isinstance(connection.closed, ConnectionLost)
    assert str(connection.closed).startswith(f"127.0.0.1:{server.port}: connection lost: ")
    assert told == [connection.closed]
    await connection.close()


async def test_abort_tells_its_reason_and_closes_the_socket(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    calls = await waiting_calls(peer, channel)
    connection.abort("the operator pulled the plug")
    connection.abort("once more")
    (failure,) = await failures(calls)
    assert isinstance(failure, ConnectionLost)
    assert "the operator pulled the plug" in str(failure)
    assert await peer.ended() == b""


async def test_what_is_sent_after_the_end_is_dropped(
    server: PeerServer, caplog: pytest.LogCaptureFixture
) -> None:
    connection, _, peer = await server.channel()
    peer.hang_up()
    await until(lambda: connection.closed is not None, "the end is seen")
    deferred: list[str] = []
    for _ in range(20):
        connection.send(bytes(100_000))
        connection.send(b"short")
        connection.defer(lambda: deferred.append("called"))
    await until(lambda: len(deferred) == 20, "a pass of the loop")
    await until(lambda: not connection.writer._out, "nothing is kept")
    assert not caplog.records  # asyncio warns of writes to a closed socket


# -- the peer breaks the protocol ------------------------------------------------------------------

METHOD = frames.method_frame(1, DECLARED)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(METHOD[:-1] + b"\x00", ReplyCode.FRAME_ERROR, id="wrong frame end"),
        pytest.param(b"\x01\x00\x01\x7f\xff\xff\xff", ReplyCode.FRAME_ERROR, id="huge frame"),
        pytest.param(b"\x09\x00\x00\x00\x00\x00\x00\xce", ReplyCode.FRAME_ERROR, id="frame type"),
        pytest.param(
            frames.raw_method(1, b"\x00\x3c\x00\xff"), ReplyCode.COMMAND_INVALID, id="method"
        ),
        pytest.param(
            frames.raw_method(1, b"\x00\x32\x00\x0b\xff"), ReplyCode.SYNTAX_ERROR, id="cut short"
        ),
        pytest.param(
            frames.content_frames(1, b"\x00\x00", b"body", 4096),
            ReplyCode.UNEXPECTED_FRAME,
            id="content of no method",
        ),
        pytest.param(
            frames.method_frame(1, methods.Basic.QosOk()),
            ReplyCode.UNEXPECTED_FRAME,
            id="another call's answer",
        ),
    ],
)
async def test_bad_bytes_are_refused_with_their_code_and_fail_all_who_wait(
    server: PeerServer, data: bytes, code: ReplyCode
) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    calls = await waiting_calls(peer, one, two)
    peer.send_bytes(data)
    for failure in await failures(calls):
        assert isinstance(failure, ProtocolError)
        assert failure.reply_code == code
    close = await peer.get(methods.Connection.Close)
    assert close.reply_code == code
    assert close.reply_text == str(connection.closed.reply_text)  # type: ignore[union-attr]
    assert await peer.ended() == b""


async def test_what_follows_bad_bytes_is_not_read(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    seen: list[Delivery] = []
    channel.consumers["1.1"] = seen.append
    peer.send_bytes(METHOD[:-1] + b"\x00")
    await peer.get(methods.Connection.Close)
    peer.send_bytes(delivery(b"too late"))
    await until(connection._gone.done, "the socket is closed")
    assert seen == []


async def test_a_reason_longer_than_amqp_takes_is_cut(server: PeerServer) -> None:
    connection, _, peer = await server.channel()
    connection.refuse(ProtocolError(ReplyCode.SYNTAX_ERROR, "ü" * 300))
    close = await peer.get(methods.Connection.Close)
    assert close.reply_text.startswith("üüü")
    assert len(close.reply_text.encode()) <= 255


# -- this side closes ------------------------------------------------------------------------------


async def test_close_sends_all_that_was_sent_before_then_says_goodbye(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    channel.publish("", "q", Properties(), b"last words")
    connection.defer(lambda: channel.ack(7))
    closing = asyncio.create_task(connection.close())
    assert (await peer.get(Publish)).body == b"last words"
    assert (await peer.event()).delivery_tag == 7  # type: ignore[union-attr]
    close = await peer.take_close()
    assert (close.reply_code, close.reply_text) == (200, "bye")
    await closing
    assert await peer.ended() == b""


async def test_close_fails_the_calls_that_wait(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    calls = await waiting_calls(peer, channel)
    closing = asyncio.create_task(connection.close())
    await peer.take_close()
    await closing
    (failure,) = await failures(calls)
    assert isinstance(failure, ConnectionLost)
    assert "closed by this side" in str(failure)


async def test_close_can_be_called_again_and_at_the_same_time(server: PeerServer) -> None:
    connection, peer = await server.connect()
    closing = asyncio.gather(*(connection.close() for _ in range(3)))
    await peer.take_close()
    await closing
    await connection.close()
    assert await peer.ended() == b""  # one goodbye was enough


async def test_what_comes_after_close_is_read_past(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    seen: list[Delivery] = []
    channel.consumers["1.1"] = seen.append
    closing = asyncio.create_task(connection.close())
    await peer.get(methods.Connection.Close)
    peer.send_bytes(delivery(b"on its way") + frames.method_frame(1, DECLARED))
    peer.send(methods.Connection.CloseOk())
    await closing
    assert seen == []


async def test_an_answer_that_comes_after_the_goodbyes_is_no_surprise(
    server: PeerServer, caplog: pytest.LogCaptureFixture
) -> None:
    connection, channel, peer = await server.channel()
    calls = await waiting_calls(peer, channel)
    channel.abandon()
    closing = asyncio.create_task(connection.close())
    await peer.get(methods.Channel.Close)
    await peer.get(methods.Connection.Close)
    peer.send(DECLARED, channel=channel.number)
    peer.send(methods.Connection.CloseOk())
    await closing
    assert len(await failures(calls)) == 1
    assert not caplog.records


async def test_two_closes_that_cross_both_are_answered(server: PeerServer) -> None:
    connection, peer = await server.connect()
    closing = asyncio.create_task(connection.close())
    await peer.get(methods.Connection.Close)
    peer.send(SHUTDOWN)
    await peer.get(methods.Connection.CloseOk)
    await closing
    assert await peer.ended() == b""


async def test_close_is_content_with_a_socket_that_closes(server: PeerServer) -> None:
    connection, peer = await server.connect()
    closing = asyncio.create_task(connection.close())
    await peer.get(methods.Connection.Close)
    peer.hang_up()
    await closing


@pytest.mark.parametrize("reads", [True, False])
async def test_close_does_not_wait_for_a_peer_that_never_answers(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    connection, channel, peer = await server.channel()
    if not reads:
        while not connection.paused:
            channel.publish("", "q", Properties(), bytes(100_000))
    async with asyncio.timeout(PATIENCE):
        await connection.close()
    await until(connection._gone.done, "the socket is closed")
    await peer.ended()


async def test_a_broker_that_takes_no_publishes_is_not_waited_for(server: PeerServer) -> None:
    # RabbitMQ reads nothing more from a connection that published while it is blocked.
    connection, channel, peer = await server.channel()
    peer.send(methods.Connection.Blocked(reason="low on memory"))
    await until(lambda: bool(connection.blocked), "it is blocked")
    async with asyncio.timeout(PATIENCE):
        await channel.close()
        await connection.close()
    assert isinstance(connection.closed, ConnectionLost)
    await peer.ended()


async def test_a_cancelled_close_still_closes_the_socket(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, peer = await server.connect()
    closing = asyncio.create_task(connection.close())
    await peer.get(methods.Connection.Close)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert await peer.ended() == b""


async def test_bad_bytes_after_close_end_it(server: PeerServer) -> None:
    connection, peer = await server.connect()
    closing = asyncio.create_task(connection.close())
    await peer.get(methods.Connection.Close)
    peer.send_bytes(b"what?" * 10)
    await closing
    assert isinstance(connection.closed, ConnectionLost)


def nowhere() -> Connection:
    address = parse_url("amqp://nowhere")
    handshake = Handshake("nowhere", address, Login("guest", "guest"), {})
    return Connection("nowhere", handshake, max_message_size=1)


async def test_what_was_to_leave_with_this_pass_is_dropped_by_an_abort() -> None:
    class Closed(asyncio.Transport):
        """As uvloop leaves a transport whose opening is cancelled: connection_lost never comes."""

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            written.clear()

        def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
            written.append(bytes(data))

        def abort(self) -> None:
            written.clear()

    written: list[bytes] = []
    connection = nowhere()
    connection.connection_made(Closed())
    connection.send(frames.HEARTBEAT)
    connection.abort("it was given up")
    await until(lambda: not connection.writer._out, "nothing is kept")
    assert written == []


async def test_close_of_a_connection_that_was_never_made_does_nothing(
    complaints: list[dict[str, Any]],
) -> None:
    connection = nowhere()
    async with asyncio.timeout(1):
        await connection.close()
    with pytest.raises(ConnectionLost, match="not connected"):
        await connection.open_channel()
    nowhere().abort("never mind")


async def test_close_after_a_loss_returns_at_once(server: PeerServer) -> None:
    connection, peer = await server.connect()
    peer.send(SHUTDOWN)
    await until(lambda: connection.closed is not None, "the close is seen")
    await connection.close()
    assert isinstance(connection.closed, ConnectionClosed)
    await peer.get(methods.Connection.CloseOk)


# -- callbacks that fail ---------------------------------------------------------------------------


def fail(*_: object) -> None:
    raise ZeroDivisionError("the callback has a bug")


def take_out(complaints: list[dict[str, Any]], count: int) -> list[str]:
    """The complaints about our callbacks, which were expected."""
    texts = [complaint["message"] for complaint in complaints]
    assert [type(complaint["exception"]) for complaint in complaints] == [ZeroDivisionError] * count
    complaints.clear()
    return texts


async def test_a_consumer_that_fails_costs_no_other_message(
    server: PeerServer, complaints: list[dict[str, Any]]
) -> None:
    connection, channel, peer = await server.channel()
    seen: list[Delivery] = []
    channel.consumers.update({"bad": fail, "good": seen.append})
    peer.send_bytes(
        delivery(b"1", consumer="good")
        + delivery(b"2", consumer="bad")
        + delivery(b"3", consumer="good")
    )
    await until(lambda: len(seen) == 2, "both messages of the good consumer come")
    assert connection.closed is None
    assert take_out(complaints, 1) == [f"{connection}: a callback failed at Delivery"]


async def test_a_callback_that_fails_does_not_keep_the_loss_from_others(
    server: PeerServer, complaints: list[dict[str, Any]]
) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    told: list[LeveretError] = []
    one.on_close, two.on_close = fail, told.append
    connection.on_close += [fail, told.append]
    calls = await waiting_calls(peer, one, two)
    peer.hang_up()
    assert len(await failures(calls)) == 2
    assert told == [connection.closed] * 2
    assert len(take_out(complaints, 2)) == 2


async def test_confirms_returns_and_cancels_may_fail_too(
    server: PeerServer, complaints: list[dict[str, Any]]
) -> None:
    connection, channel, peer = await server.channel()
    channel.on_confirm = channel.on_cancel = fail
    connection.on_blocked.append(fail)
    (call,) = await waiting_calls(peer, channel)
    peer.send_bytes(frames.ack(1, 1))
    peer.send(methods.Basic.Cancel(consumer_tag="1.1"), channel=1)
    peer.send(methods.Connection.Blocked(reason="low on memory"))
    peer.send(DECLARED, channel=1)
    await call
    assert len(take_out(complaints, 3)) == 3


async def test_errors_of_amqp_say_code_and_text(server: PeerServer) -> None:
    connection, peer = await server.connect()
    peer.send(SHUTDOWN)
    await until(lambda: connection.closed is not None, "the close is seen")
    assert isinstance(connection.closed, AMQPError)
    assert str(connection.closed) == "CONNECTION_FORCED - shutdown (AMQP 320)"
