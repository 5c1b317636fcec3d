"""`Handshake` alone: what each method of the broker is answered, and what an end means then."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.methods import AMQPMethod
from leveret.errors import (
    ConnectionClosed,
    ConnectionLost,
    PermissionDenied,
    ProtocolError,
    Unauthenticated,
)
from leveret.transport.address import Address
from leveret.transport.credentials import Login
from leveret.transport.handshake import Agreed, Handshake, not_amqp
from leveret.transport.tls import TLS

Connection = methods.Connection

ADDRESS = Address(hosts=(("host", 5672),), vhost="shop", heartbeat=30)
CAPABLE: dict[str, Any] = {"capabilities": {"authentication_failure_close": True}}
START = Connection.Start(server_properties=CAPABLE, mechanisms="AMQPLAIN PLAIN EXTERNAL")
TUNE = Connection.Tune(channel_max=100, frame_max=8192, heartbeat=60)


def handshake(address: Address = ADDRESS) -> Handshake:
    return Handshake("host:5672", address, Login("ann", "secret"), {"product": "a test"})


def after(*received: AMQPMethod, address: Address = ADDRESS) -> Handshake:
    """A handshake that has received these."""
    begun = handshake(address)
    for method in received:
        begun.receive(method)
    return begun


def test_start_is_answered_with_the_login() -> None:
    assert handshake().receive(START) == (
        Connection.StartOk(
            client_properties={"product": "a test"}, mechanism="PLAIN", response="\0ann\0secret"
        ),
    )


def test_tune_is_answered_with_the_smaller_limits_and_the_vhost() -> None:
    assert after(START).receive(TUNE) == (
        Connection.TuneOk(channel_max=100, frame_max=8192, heartbeat=30),
        Connection.Open(virtual_host="shop"),
    )


def test_open_ok_ends_it_with_what_both_agreed_on() -> None:
    assert after(START, TUNE).receive(Connection.OpenOk()) == Agreed(
        frame_max=8192, channel_max=100, heartbeat=30, user="ann", server_properties=CAPABLE
    )


@pytest.mark.parametrize(
    ("address", "user"),
    [
        (ADDRESS, "ann"),
        (replace(ADDRESS, user_id="another"), "another"),
        (replace(ADDRESS, user_id=""), ""),
        (replace(ADDRESS, auth="external"), ""),
        (replace(ADDRESS, auth="external", user_id="CN=ann"), "CN=ann"),
    ],
)
def test_the_user_is_known_where_it_logs_in_by_name_or_is_given(
    address: Address, user: str
) -> None:
    agreed = after(START, TUNE, address=address).receive(Connection.OpenOk())
    assert isinstance(agreed, Agreed)
    assert agreed.user == user


@pytest.mark.parametrize(
    ("received", "wrong", "due"),
    [
        ([], TUNE, "connection.start"),
        ([START], START, "connection.tune"),
        ([START], Connection.OpenOk(), "connection.tune"),
        ([START, TUNE], TUNE, "connection.open-ok"),
    ],
)
def test_a_method_that_is_not_due_breaks_the_protocol(
    received: list[AMQPMethod], wrong: AMQPMethod, due: str
) -> None:
    with pytest.raises(ProtocolError, match=f"got {wrong.name} where {due} was due") as raised:
        after(*received).receive(wrong)
    assert raised.value.reply_code == ReplyCode.COMMAND_INVALID


def test_frames_below_the_least_size_of_amqp_are_refused() -> None:
    with pytest.raises(ProtocolError, match="frames of 4095 bytes only"):
        after(START).receive(Connection.Tune(frame_max=4095))


def test_a_mechanism_that_is_not_offered_is_not_tried() -> None:
    with pytest.raises(Unauthenticated, match="does not offer .* PLAIN, only none"):
        handshake().receive(Connection.Start(mechanisms=""))


# -- what the end of the connection means ----------------------------------------------------------

REFUSED = ConnectionClosed(ReplyCode.ACCESS_REFUSED, "ACCESS_REFUSED - no")
FORCED = ConnectionClosed(ReplyCode.CONNECTION_FORCED, "CONNECTION_FORCED - shutdown")
LOST = ConnectionLost("connection lost")


@pytest.mark.parametrize("received", [[], [START], [START, TUNE]])
@pytest.mark.parametrize("error", [FORCED, LOST])
def test_other_ends_mean_what_they_say(
    received: list[AMQPMethod], error: ConnectionClosed | ConnectionLost
) -> None:
    assert after(*received).explain(error) is error


def test_a_refusal_of_the_login_names_the_user() -> None:
    explained = after(START).explain(REFUSED)
    assert isinstance(explained, Unauthenticated)
    assert "login of user 'ann': ACCESS_REFUSED" in str(explained)
    assert "secret" not in str(explained)
    assert explained.__cause__ is REFUSED


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        (TLS(certfile="me.pem"), "Is there a user of the name in 'me.pem'?"),
        (TLS(), "It presented none"),
        (None, "It presented none"),
    ],
)
def test_a_refusal_of_a_certificate_names_its_file(tls: TLS | None, told: str) -> None:
    address = replace(ADDRESS, auth="external", tls=tls)
    explained = after(START, address=address).explain(REFUSED)
    assert "login of this client's certificate" in str(explained)
    assert told in str(explained)


def test_an_old_broker_refuses_a_login_by_closing_the_socket() -> None:
    old = Connection.Start(server_properties={"product": "old"}, mechanisms="PLAIN")
    assert isinstance(after(old).explain(LOST), Unauthenticated)
    assert after(old, TUNE).explain(LOST) is LOST


@pytest.mark.parametrize("code", [ReplyCode.NOT_ALLOWED, ReplyCode.ACCESS_REFUSED])
def test_a_refusal_of_the_vhost_names_it(code: ReplyCode) -> None:
    explained = after(START, TUNE).explain(ConnectionClosed(code, "no"))
    assert isinstance(explained, PermissionDenied)
    assert "user 'ann' may not use vhost 'shop'" in str(explained)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"AMQP\x00\x01\x00\x00", "offers version 00.01.00.00 of AMQP"),
        (b"\x15\x03\x01", "it speaks TLS"),
        (b"HTTP/1.1 400", "it answers b'HTTP/1.1 400'"),
    ],
)
def test_what_does_not_speak_amqp_is_told_apart(data: bytes, told: str) -> None:
    assert told in str(not_amqp(data))
