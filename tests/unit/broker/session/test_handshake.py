from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp import methods
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.tables import encode_table
from leveret.broker.limits import Limits
from leveret.broker.model.vhost import VHost
from leveret.broker.permissions import Permissions, User
from leveret.broker.session.handshake import Admitted, Greeting, Handshake, Refusal
from tests.unit.broker.world import World, start_ok

USERS = {
    "guest": User(password="guest"),
    "bob": User(password="b", permissions={"own": Permissions()}),
}
TUNE_OK = methods.Connection.TuneOk(channel_max=10, frame_max=8192, heartbeat=20)


@pytest.fixture
def vhost() -> VHost:
    return World().vhost


@pytest.fixture
def handshake(vhost: VHost) -> Handshake:
    return Handshake(USERS, {"/": vhost}, Limits(channel_max=100, frame_max=10_000, heartbeat=60))


def after(handshake: Handshake, *said: AMQPMethod | None) -> Any:
    """What the last of these methods leads to."""
    return [handshake.receive(method) for method in said][-1]


def refused(outcome: Any) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def test_a_header_that_comes_in_pieces_is_complete_with_its_last_octet() -> None:
    greeting = Greeting()
    assert [greeting.receive(octet) for octet in (b"AMQP", b"\0\0\x09")] == [b"", b""]
    assert not greeting.done
    assert greeting.receive(b"\x01more") == b"more"
    assert greeting.done


def test_a_header_of_another_protocol_is_refused_at_its_first_wrong_octet() -> None:
    assert Greeting().receive(b"AMQX") is None


def test_the_broker_offers_its_mechanisms_first(handshake: Handshake) -> None:
    start = handshake.start()
    assert start.mechanisms == "AMQPLAIN PLAIN"
    assert start.server_properties["capabilities"]["basic.nack"] is True
    assert "Leveret's embedded broker" in start.server_properties["information"]
    assert "Leveret's embedded broker" in start.server_properties["platform"]


def test_a_login_is_answered_by_the_limits(handshake: Handshake) -> None:
    tune = after(handshake, start_ok())
    assert tune == methods.Connection.Tune(channel_max=100, frame_max=10_000, heartbeat=60)


def test_limits_that_the_client_accepts_need_no_answer(handshake: Handshake) -> None:
    assert after(handshake, start_ok(), TUNE_OK) is None


def test_who_opens_a_vhost_is_admitted_with_all_that_was_agreed(
    handshake: Handshake, vhost: VHost
) -> None:
    open_ = methods.Connection.Open(virtual_host="/")
    admitted = after(handshake, start_ok(capabilities={"basic.nack": True}), TUNE_OK, open_)
    assert isinstance(admitted, Admitted)
    assert admitted.vhost is vhost
    assert (admitted.user, admitted.user_name) == (USERS["guest"], "guest")
    assert admitted.capabilities == {"basic.nack": True}
    assert (admitted.channel_max, admitted.frame_max, admitted.heartbeat) == (10, 8192, 20)
    admitted.rights.check("write", "queue", "any")


def test_amqplain_logs_in_as_well(handshake: Handshake) -> None:
    response = encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:].decode("latin-1")
    login = methods.Connection.StartOk(
        client_properties={}, mechanism="AMQPLAIN", response=response
    )
    assert isinstance(after(handshake, login), methods.Connection.Tune)


@pytest.mark.parametrize("understands", [True, False])
def test_a_failed_login_is_told_to_a_client_that_understands_it(
    handshake: Handshake, understands: bool
) -> None:
    login = start_ok(password="no", capabilities={"authentication_failure_close": understands})
    refusal = refused(after(handshake, login))
    assert refusal.error.reply_code == 403
    assert (refusal.told, refusal.blamed) == (understands, (0, 0))


@pytest.mark.parametrize(
    ("mechanism", "response", "code"),
    [("PLAIN", "guest", 502), ("AMQPLAIN", "guest", 502), ("EXTERNAL", "", 540)],
)
def test_a_login_that_cannot_be_read_ends_the_connection_without_a_word(
    handshake: Handshake, mechanism: str, response: str, code: int
) -> None:
    login = methods.Connection.StartOk(client_properties={}, mechanism=mechanism, response=response)
    refusal = refused(after(handshake, login))
    assert (refusal.error.reply_code, refusal.told) == (code, False)


@pytest.mark.parametrize(
    ("user", "password", "vhost", "text"),
    [
        ("guest", "guest", "none", "vhost none not found"),
        ("bob", "b", "/", "access to vhost '/' refused for user 'bob'"),
    ],
)
def test_a_vhost_that_cannot_be_opened_is_told(
    handshake: Handshake, user: str, password: str, vhost: str, text: str
) -> None:
    open_ = methods.Connection.Open(virtual_host=vhost)
    refusal = refused(after(handshake, start_ok(user, password), TUNE_OK, open_))
    assert refusal.error.reply_text == f"NOT_ALLOWED - {text}"
    assert (refusal.told, refusal.blamed) == (True, (10, 40))


@pytest.mark.parametrize(("channel_max", "frame_max"), [(0, 8192), (101, 8192), (9, 0), (9, 4095)])
def test_limits_beyond_the_offer_are_refused(
    handshake: Handshake, channel_max: int, frame_max: int
) -> None:
    tune_ok = methods.Connection.TuneOk(channel_max=channel_max, frame_max=frame_max, heartbeat=0)
    refusal = refused(after(handshake, start_ok(), tune_ok))
    assert (refusal.error.reply_code, refusal.told) == (530, False)


@pytest.mark.parametrize(
    ("said", "due", "came"),
    [
        ([None], "connection.start_ok", "something else"),
        ([TUNE_OK], "connection.start_ok", "connection.tune_ok"),
        ([start_ok(), start_ok()], "connection.tune_ok", "connection.start_ok"),
        ([start_ok(), TUNE_OK, TUNE_OK], "connection.open", "connection.tune_ok"),
    ],
)
def test_a_method_that_is_not_due_ends_the_connection(
    handshake: Handshake, said: list[AMQPMethod | None], due: str, came: str
) -> None:
    refusal = refused(after(handshake, *said))
    assert refusal.error.reply_text == f"COMMAND_INVALID - expected '{due}', got '{came}'"
    assert not refusal.told
