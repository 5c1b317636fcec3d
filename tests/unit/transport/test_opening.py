"""The opening of a connection, with peers that go wrong at every step of it."""

from __future__ import annotations

import asyncio

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.codes import PROTOCOL_HEADER, ReplyCode
from leveret.errors import ConnectionClosed, ConnectionLost, PermissionDenied, Unauthenticated
from leveret.testing.rabbitmq.ports import free_ports
from leveret.transport.connection import Connection as OpenConnection
from leveret.transport.opening import CAPABILITIES, open_connection
from leveret.transport.url import parse_url
from tests.unit.transport.scripted_peer import CAPABLE, Peer, PeerServer

Connection = methods.Connection


def closes(code: int, text: str) -> methods.Connection.Close:
    return Connection.Close(reply_code=code, reply_text=text)


# -- what is said ----------------------------------------------------------------------------------


async def test_the_client_names_itself_and_what_it_can_do(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    assert await peer.header() == PROTOCOL_HEADER
    peer.start()
    start_ok = await peer.answer(
        Connection.StartOk, Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=0)
    )
    await peer.get(Connection.TuneOk)
    await peer.answer(Connection.Open, Connection.OpenOk())
    connection = await opening

    said = start_ok.client_properties
    assert said["product"] == "Leveret"
    assert said["connection_name"] == "a test"
    assert said["capabilities"] == CAPABILITIES
    assert (start_ok.mechanism, start_ok.response) == ("PLAIN", "\0guest\0guest")
    assert connection.server_properties == CAPABLE


async def test_a_vhost_may_take_all_255_bytes_that_amqp_has_for_it(server: PeerServer) -> None:
    opening = server.opening(vhost="v" * 255)
    peer = await server.accept()
    await peer.tune()
    opened = await peer.answer(Connection.Open, Connection.OpenOk())
    await opening
    assert opened.virtual_host == "v" * 255


async def test_a_handshake_may_come_byte_by_byte(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.header()
    start = Connection.Start(server_properties=CAPABLE, mechanisms="PLAIN", locales="en_US")
    await peer.drip(frames.method_frame(0, start))
    await peer.answer(
        Connection.StartOk, Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=0)
    )
    await peer.get(Connection.TuneOk)
    await peer.answer(Connection.Open, Connection.OpenOk())
    assert (await opening).closed is None


# -- what is agreed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "url", "agreed"),
    [
        pytest.param((0, 0, 0), "heartbeat=30", (2047, 131_072, 30), id="no limits are ours"),
        pytest.param((9, 8192, 7), "heartbeat=30", (9, 8192, 7), id="the broker's are smaller"),
        pytest.param(
            (65_535, 1_000_000, 60), "heartbeat=30", (2047, 131_072, 30), id="ours are smaller"
        ),
        pytest.param((2047, 4096, 60), "heartbeat=0", (2047, 4096, 0), id="we want no heartbeat"),
    ],
)
async def test_of_two_limits_the_smaller_is_agreed(
    server: PeerServer, offered: tuple[int, int, int], url: str, agreed: tuple[int, int, int]
) -> None:
    opening = server.opening(url)
    peer = await server.accept()
    tuned = await peer.tune(channel_max=offered[0], frame_max=offered[1], heartbeat=offered[2])
    await peer.answer(Connection.Open, Connection.OpenOk())
    connection = await opening
    assert (tuned.channel_max, tuned.frame_max, tuned.heartbeat) == agreed
    assert (connection.channel_max, connection.frame_max) == agreed[:2]


async def test_a_frame_size_below_amqps_minimum_is_refused(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.header()
    peer.start()
    await peer.answer(
        Connection.StartOk, Connection.Tune(channel_max=2047, frame_max=4095, heartbeat=0)
    )
    with pytest.raises(ConnectionLost, match="offered frames of 4095 bytes only") as raised:
        await opening
    assert raised.value.executed == "no"
    assert await peer.ended() == b""


# -- no broker there -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"AMQP\x00\x01\x00\x00", "it offers version 00.01.00.00 of AMQP"),
        (b"AMQP\x03\x01\x00\x00", "it offers version 03.01.00.00 of AMQP"),
        (b"AMQP\x00\x00\x08\x00", "it offers version 00.00.08.00 of AMQP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers b'HTTP/1.1 400 Bad Request.*port right"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it answers b'SSH-2.0"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "it speaks TLS; begin the URL with amqps://"),
        (bytes(range(100, 164)), "it answers b'defgh"),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce", "it answers"),
    ],
)
async def test_what_speaks_no_amqp_0_9_1_is_named_and_told_nothing(
    server: PeerServer, answer: bytes, told: str
) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.header()
    peer.send_bytes(answer)
    with pytest.raises(ConnectionLost, match=told) as raised:
        await opening
    assert f"127.0.0.1:{server.port}" in str(raised.value)
    assert await peer.ended() == b""  # section 2.2.4: no more data before connection.open


async def test_frames_for_no_channel_in_the_handshake_are_ignored(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.header()
    peer.send(methods.Queue.DeclareOk(queue="q", message_count=0, consumer_count=0), channel=7)
    peer.start()
    await peer.answer(
        Connection.StartOk, Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=0)
    )
    await peer.get(Connection.TuneOk)
    await peer.answer(Connection.Open, Connection.OpenOk())
    assert (await opening).closed is None


# -- silence, and sockets that close, at each step -------------------------------------------------

STEPS = ("connected", "start-ok was due", "tune-ok was due", "open-ok was due")


async def walk(server: PeerServer, step: str) -> Peer:
    """Go as far as this step, and answer no more."""
    peer = await server.accept()
    if step == STEPS[0]:
        return peer
    await peer.header()
    peer.start()
    await peer.get(Connection.StartOk)
    if step == STEPS[1]:
        return peer
    peer.send(Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=0))
    await peer.get(Connection.TuneOk)
    await peer.get(Connection.Open)
    if step == STEPS[2]:
        peer.send_bytes(b"\x01\x00\x00")  # the beginning of the next frame
    return peer


@pytest.mark.parametrize("step", STEPS)
async def test_silence_ends_with_connection_timeout(server: PeerServer, step: str) -> None:
    for timeout in (0.1, 0.4, 1.6, 6.4):
        opening = server.opening(f"connection_timeout={timeout * 1000:.0f}")
        try:
            peer = await walk(server, step)
        except (AssertionError, asyncio.IncompleteReadError):
            # The time was over before the peer came to this step: the machine is busy.
            with pytest.raises(ConnectionLost, match=f"no answer in {timeout} s"):
                await opening
            continue
        with pytest.raises(ConnectionLost, match=f"{server.port}: no answer in {timeout} s") as got:
            await opening
        assert got.value.executed == "no"
        await peer.ended()
        return
    pytest.fail("the machine is too busy to come to this step within 6.4 s")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("end", ["hang_up", "reset"])
async def test_a_socket_that_closes_is_a_lost_connection(
    server: PeerServer, step: str, end: str
) -> None:
    opening = server.opening()
    peer = await walk(server, step)
    getattr(peer, end)()
    with pytest.raises(ConnectionLost, match=f"{server.port}: .*connection lost: "):
        await opening


@pytest.mark.parametrize("step", STEPS)
async def test_cancelling_leaves_no_socket(server: PeerServer, step: str) -> None:
    opening = server.opening()
    peer = await walk(server, step)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await peer.ended()


@pytest.mark.parametrize("step", [STEPS[0], STEPS[1], STEPS[3]])
async def test_a_wrong_method_ends_the_handshake(server: PeerServer, step: str) -> None:
    opening = server.opening()
    peer = await walk(server, step)
    peer.send(Connection.Secure(challenge="who?"))
    with pytest.raises(ConnectionLost, match=r"got connection\.secure where connection\."):
        await opening
    await peer.ended()


@pytest.mark.parametrize("step", STEPS[1:2] + STEPS[3:])
async def test_a_close_is_answered_and_its_reason_told(server: PeerServer, step: str) -> None:
    opening = server.opening()
    peer = await walk(server, step)
    peer.send(closes(541, "INTERNAL_ERROR - out of file handles"))
    with pytest.raises(ConnectionLost, match="INTERNAL_ERROR - out of file handles") as raised:
        await opening
    assert isinstance(raised.value.__cause__, ConnectionClosed)
    await peer.get(Connection.CloseOk)
    assert await peer.ended() == b""


async def test_a_close_in_one_read_with_open_ok_counts(server: PeerServer) -> None:
    opening = server.opening("heartbeat=30")
    peer = await walk(server, STEPS[3])
    peer.send(Connection.OpenOk(), closes(320, "CONNECTION_FORCED - shutdown"))
    with pytest.raises(ConnectionLost, match="CONNECTION_FORCED - shutdown"):
        await opening
    await peer.get(Connection.CloseOk)


# -- who may come in -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "url", "wanted"),
    [
        ("SCRAM-SHA-256 GSSAPI", "", "PLAIN"),
        ("", "", "PLAIN"),
        ("XPLAIN PLAINER", "", "PLAIN"),
        ("PLAIN AMQPLAIN", "auth_mechanism=external", "EXTERNAL"),
    ],
)
async def test_a_login_mechanism_that_is_not_offered_is_not_tried(
    server: PeerServer, offered: str, url: str, wanted: str
) -> None:
    opening = server.opening(f"heartbeat=0&{url}")
    peer = await server.accept()
    await peer.header()
    peer.start(mechanisms=offered)
    with pytest.raises(Unauthenticated, match=f"mechanism {wanted}, only") as raised:
        await opening
    assert (offered or "none") in str(raised.value)
    assert raised.value.executed == "no"
    assert await peer.ended() == b""


async def test_external_sends_no_password(server: PeerServer) -> None:
    opening = server.opening("auth_mechanism=external")
    peer = await server.accept()
    await peer.header()
    peer.start(mechanisms="PLAIN EXTERNAL")
    start_ok = await peer.answer(
        Connection.StartOk, Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=0)
    )
    await peer.get(Connection.TuneOk)
    await peer.answer(Connection.Open, Connection.OpenOk())
    await opening
    assert (start_ok.mechanism, start_ok.response) == ("EXTERNAL", "")


async def test_a_refused_login_says_who_was_refused_and_why(server: PeerServer) -> None:
    opening = server.opening()
    peer = await walk(server, STEPS[1])
    peer.send(closes(403, "ACCESS_REFUSED - Login was refused"))
    with pytest.raises(Unauthenticated, match="login of user 'guest': ACCESS_REFUSED"):
        await opening
    await peer.get(Connection.CloseOk)


async def test_an_old_broker_refuses_a_login_by_closing_the_socket(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.header()
    peer.start(properties={"product": "older than authentication_failure_close"})
    await peer.get(Connection.StartOk)
    peer.hang_up()
    with pytest.raises(Unauthenticated, match="Check the URL's user and password"):
        await opening


@pytest.mark.parametrize("code", [ReplyCode.NOT_ALLOWED, ReplyCode.ACCESS_REFUSED])
async def test_a_refused_vhost_is_named(server: PeerServer, code: int) -> None:
    opening = server.opening(vhost="secret")
    peer = await walk(server, STEPS[3])
    peer.send(closes(code, "access to vhost 'secret' refused"))
    with pytest.raises(PermissionDenied, match="user 'guest' may not use vhost 'secret'"):
        await opening
    await peer.get(Connection.CloseOk)


# -- several hosts ---------------------------------------------------------------------------------


async def opened_at(hosts: list[int], options: str = "heartbeat=0") -> OpenConnection:
    url = f"amqp://{','.join(f'127.0.0.1:{port}' for port in hosts)}/?{options}"
    return await open_connection(parse_url(url), name="a test", max_message_size=1024)


async def test_the_first_host_that_takes_a_connection_gets_it(server: PeerServer) -> None:
    opening = asyncio.create_task(opened_at([*free_ports(1), server.port, server.port, 1]))
    peer = await server.accept()
    peer.hang_up()
    peer = await server.accept()
    await peer.handshake()
    connection = await opening
    server.connections.append(connection)
    assert str(connection) == f"127.0.0.1:{server.port}"
    assert server.accepted == 2


async def test_where_no_host_takes_one_all_are_named_with_their_reasons(
    server: PeerServer,
) -> None:
    (dead,) = free_ports(1)
    opening = asyncio.create_task(opened_at([dead, server.port], "connection_timeout=100"))
    await server.accept()
    with pytest.raises(ConnectionLost) as raised:
        await opening
    assert f"127.0.0.1:{dead}: [Errno" in str(raised.value)
    assert f"127.0.0.1:{server.port}: no answer in 0.1 s" in str(raised.value)
    assert "LEVERET_URL" in str(raised.value)


async def test_a_refused_login_is_not_tried_at_the_other_hosts(server: PeerServer) -> None:
    opening = asyncio.create_task(opened_at([server.port, server.port]))
    peer = await walk(server, STEPS[1])
    peer.send(closes(403, "ACCESS_REFUSED - Login was refused"))
    with pytest.raises(Unauthenticated):
        await opening
    assert server.accepted == 1
