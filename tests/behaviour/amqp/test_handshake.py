"""From the protocol header to open-ok, and each way in which a broker says no."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from pamqp import heartbeat
from pamqp.commands import Basic, Channel, Connection

from tests.behaviour.amqp.script import (
    AMQP_1_HEADER,
    CAPABILITIES,
    PROTOCOL_HEADER,
    Client,
    Connect,
    Lane,
    Refusal,
    Wire,
)
from tests.brokers import Broker

LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}. For details see the "
    "broker logfile."
)


async def greeted(url: str) -> Wire:
    """A wire on which the broker sent connection.start."""
    wire = await Wire.dial(url)
    wire.write(PROTOCOL_HEADER)
    assert isinstance(await wire.method(), Connection.Start)
    return wire


def start_ok(mechanism: str, response: str, **capabilities: bool) -> Connection.StartOk:
    known: Any = {"capabilities": capabilities}
    return Connection.StartOk(known, mechanism, response, "en_US")


async def tuned(url: str) -> tuple[Wire, Any]:
    """A wire on which the broker sent connection.tune, and that."""
    wire = await greeted(url)
    wire.send(start_ok("PLAIN", "\0guest\0guest", **CAPABILITIES))
    tune = await wire.method()
    assert isinstance(tune, Connection.Tune)
    return wire, tune


async def ended(wire: Wire) -> bool:
    """Whether the broker says nothing more, and closes the socket."""
    silent = await wire.ends()
    await wire.hang_up()
    return silent


async def refusal(wire: Wire) -> tuple[int, str, int, int]:
    """The connection.close that comes next; answered, and the socket ends."""
    close = await wire.method()
    assert close.name == "Connection.Close"
    wire.send(Connection.CloseOk())
    assert await wire.ends()
    await wire.hang_up()
    return close.reply_code, close.reply_text, close.class_id, close.method_id


async def test_the_broker_offers_what_clients_look_for(broker_url: str, since_4: bool) -> None:
    wire = await Wire.dial(broker_url)
    wire.write(PROTOCOL_HEADER)
    start = await wire.method()
    assert (start.version_major, start.version_minor) == (0, 9)
    mechanisms = {"PLAIN", "AMQPLAIN", "ANONYMOUS"} if since_4 else {"PLAIN", "AMQPLAIN"}
    assert set(start.mechanisms.split()) == mechanisms
    assert start.locales == "en_US"
    assert start.server_properties["capabilities"] == {
        "publisher_confirms": True,
        "exchange_exchange_bindings": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "consumer_priorities": True,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
        "direct_reply_to": True,
    }
    assert start.server_properties["product"] == "RabbitMQ"  # kombu sets prefetch by it
    assert {"product", "version", "platform", "information", "copyright", "cluster_name"} <= set(
        start.server_properties
    )
    await wire.hang_up()


@pytest.mark.parametrize(
    ("greeting", "answer_since_4"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", AMQP_1_HEADER),
        (b"AMQP\x00\x00\x09\x00", PROTOCOL_HEADER),
        (b"AMQP\x00\x01\x00\x00", AMQP_1_HEADER),
        (b"\0" * 8, AMQP_1_HEADER),
    ],
    ids=["http", "other revision", "amqp 1.0", "zeros"],
)
async def test_what_is_no_amqp_is_told_which_amqp_is_spoken(
    broker_url: str, greeting: bytes, answer_since_4: bytes, since_4: bool
) -> None:
    wire = await Wire.dial(broker_url)
    wire.write(greeting)
    assert await wire.read(8) == (answer_since_4 if since_4 else PROTOCOL_HEADER)
    assert await ended(wire)


@pytest.mark.parametrize(
    ("greeting", "known_since_4"),
    [
        (b"AMQP\x01\x01\x09\x01", False),
        (b"AMQP\x01\x01\x00\x09", True),
        (b"AMQP\x01\x01\x08\x00", False),
    ],
)
async def test_older_spellings_of_the_greeting_are_answered_and_since_4_one_of_them(
    broker_url: str, greeting: bytes, known_since_4: bool, since_4: bool
) -> None:
    wire = await Wire.dial(broker_url)
    wire.write(greeting)
    if known_since_4 or not since_4:
        assert isinstance(await wire.method(), Connection.Start)
        await wire.hang_up()
    else:
        assert await wire.read(8) == AMQP_1_HEADER
        assert await ended(wire)


async def test_plain_lets_in_who_has_the_password(broker_url: str) -> None:
    wire = await greeted(broker_url)
    wire.send(start_ok("PLAIN", "\0guest\0guest"))
    assert isinstance(await wire.method(), Connection.Tune)
    await wire.hang_up()


async def test_amqplain_lets_in_who_has_the_password(broker_url: str) -> None:
    wire = await greeted(broker_url)
    wire.send(
        start_ok("AMQPLAIN", "\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest")
    )
    assert isinstance(await wire.method(), Connection.Tune)
    await wire.hang_up()


async def test_a_wrong_password_is_refused_with_a_close(broker_url: str) -> None:
    wire = await greeted(broker_url)
    wire.send(start_ok("PLAIN", "\0guest\0wrong", authentication_failure_close=True))
    assert await refusal(wire) == (403, LOGIN_REFUSED.format("PLAIN"), 0, 0)


async def test_an_unknown_user_is_refused_in_the_same_words(broker_url: str) -> None:
    wire = await greeted(broker_url)
    wire.send(
        start_ok(
            "AMQPLAIN",
            "\x05LOGINS\x00\x00\x00\x06nobody\x08PASSWORDS\x00\x00\x00\x05guest",
            authentication_failure_close=True,
        )
    )
    assert await refusal(wire) == (403, LOGIN_REFUSED.format("AMQPLAIN"), 0, 0)


async def test_a_client_of_the_old_kind_is_refused_by_silence(broker_url: str) -> None:
    wire = await greeted(broker_url)
    wire.send(start_ok("PLAIN", "\0guest\0wrong"))
    assert await ended(wire)


async def test_a_login_that_cannot_be_read_ends_in_silence(broker_url: str) -> None:
    # RabbitMQ lets each of these wait for three seconds, so they wait together.
    async def ends(mechanism: str, response: str) -> bool:
        wire = await greeted(broker_url)
        wire.send(start_ok(mechanism, response, authentication_failure_close=True))
        return await ended(wire)

    assert all(
        await asyncio.gather(
            *(ends(mechanism, "") for mechanism in ("EXTERNAL", "CRAM-MD5", "plain")),
            *(ends("PLAIN", response) for response in ("", "guest", "\0guest", "guest\0guest")),
            ends("AMQPLAIN", "no table"),
        )
    )


async def test_who_says_no_name_is_left_in_silence_and_since_4_let_in(
    broker_url: str, since_4: bool
) -> None:
    wire = await greeted(broker_url)
    wire.send(start_ok("ANONYMOUS", "", authentication_failure_close=True))
    if since_4:
        assert isinstance(await wire.method(), Connection.Tune)
        await wire.hang_up()
    else:
        assert await ended(wire)


async def test_the_brokers_limits_are_in_its_tune(broker_url: str) -> None:
    wire, tune = await tuned(broker_url)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 60)
    await wire.hang_up()


async def test_a_tune_beyond_the_limits_ends_in_silence(broker_url: str) -> None:
    async def ends(channel_max: int, frame_max: int) -> bool:
        wire, _ = await tuned(broker_url)
        wire.send(Connection.TuneOk(channel_max, frame_max, 0))
        return await ended(wire)

    assert all(
        await asyncio.gather(
            ends(2048, 131072),
            ends(0, 131072),  # 0 is "no limit", which is more than the broker allows
            ends(2047, 131073),
            ends(2047, 0),
            ends(2047, 4095),
        )
    )


async def test_a_tune_within_the_limits_is_taken(connect: Connect) -> None:
    client = await connect(channel_max=1, frame_max=4096)
    assert isinstance(await client.channel(1), Lane)


async def test_an_unknown_vhost_is_refused(broker_url: str) -> None:
    wire, _ = await tuned(broker_url)
    wire.send(Connection.TuneOk(2047, 131072, 0))
    wire.send(Connection.Open("no such vhost"))
    assert await refusal(wire) == (530, "NOT_ALLOWED - vhost no such vhost not found", 10, 40)


async def test_a_user_without_permissions_may_not_enter_a_vhost(broker: Broker) -> None:
    broker.add_stranger("stranger", "pass")
    wire = await greeted(broker.url)
    wire.send(start_ok("PLAIN", "\0stranger\0pass", **CAPABILITIES))
    await wire.method()
    wire.send(Connection.TuneOk(2047, 131072, 0))
    wire.send(Connection.Open(broker.vhost))
    assert await refusal(wire) == (
        530,
        f"NOT_ALLOWED - access to vhost '{broker.vhost}' refused for user 'stranger'",
        10,
        40,
    )


async def test_the_vhost_is_what_the_url_says(broker_url: str) -> None:
    client = await Client.connect(broker_url)
    assert client.vhost == unquote(urlsplit(broker_url).path[1:])
    await client.close()


async def test_a_method_before_its_time_ends_in_silence(broker_url: str) -> None:
    async def ends(early: Any) -> bool:
        wire = await greeted(broker_url)
        wire.send(early, 0 if early.name.startswith("Connection") else 1)
        return await ended(wire)

    early = (
        Channel.Open(),
        Basic.Publish(routing_key="q"),
        Connection.TuneOk(2047, 131072, 0),
        Connection.Open("/"),
        Connection.Close(200, "bye", 0, 0),
    )
    assert all(await asyncio.gather(*map(ends, early)))


async def test_a_heartbeat_in_the_handshake_is_nothing(broker_url: str) -> None:
    wire, _ = await tuned(broker_url)
    wire.write(heartbeat.Heartbeat().marshal())
    wire.send(Connection.TuneOk(2047, 131072, 0))
    wire.send(Connection.Open(unquote(urlsplit(broker_url).path[1:])))
    assert isinstance(await wire.method(), Connection.OpenOk)
    await wire.hang_up()


async def test_a_close_is_answered(amqp: Client) -> None:
    amqp.send(Connection.Close(200, "bye", 0, 0))
    assert isinstance(await amqp.method(), Connection.CloseOk)
    await amqp.hang_up()


@pytest.mark.parametrize(
    "method",
    [
        Connection.Open("/"),
        Connection.TuneOk(2047, 131072, 0),
        Connection.StartOk({}, "PLAIN", "x", "en_US"),
        Connection.Blocked("no"),
        Channel.Open(),
        Basic.Qos(),
    ],
    ids=lambda method: str(method.name),
)
async def test_a_method_that_is_not_due_on_channel_0_is_refused(amqp: Client, method: Any) -> None:
    assert await amqp.refused(method) == Refusal(
        504, "CHANNEL_ERROR - unexpected method in connection state running", method.name
    )


async def test_a_new_secret_is_taken(amqp: Client) -> None:
    amqp.send(Connection.UpdateSecret("guest", "it expired"))
    assert isinstance(await amqp.method(), Connection.UpdateSecretOk)
