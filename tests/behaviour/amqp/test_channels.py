"""Channels: opened, closed, used when they are neither, and the errors that close one."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue, Tx

from tests.behaviour.amqp.script import Client, Connect, Lane, Refusal


async def test_opening_a_channel_twice_costs_the_connection(ch: Lane) -> None:
    assert await ch.client.refused(Channel.Open(), ch.number) == Refusal(
        504, "CHANNEL_ERROR - second 'channel.open' seen", "Channel.Open"
    )


async def test_using_a_channel_that_is_not_open_costs_the_connection(amqp: Client) -> None:
    assert await amqp.refused(Queue.Declare(queue="q"), 7) == Refusal(
        504, "CHANNEL_ERROR - expected 'channel.open'", "Queue.Declare"
    )


async def test_using_a_channel_that_the_client_closed_costs_the_connection(ch: Lane) -> None:
    await ch.close()
    assert await ch.client.refused(Basic.Qos(), ch.number) == Refusal(
        504, "CHANNEL_ERROR - expected 'channel.open'", "Basic.Qos"
    )


async def test_closing_a_channel_that_is_not_open_costs_the_connection(amqp: Client) -> None:
    assert await amqp.refused(Channel.Close(200, "", 0, 0), 1) == Refusal(
        504, "CHANNEL_ERROR - expected 'channel.open'", "Channel.Close"
    )


async def test_a_channel_number_may_be_used_again(ch: Lane) -> None:
    await ch.close()
    again = await ch.client.channel(ch.number)
    assert await again.declare("q", exclusive=True) == "q"


async def test_an_error_closes_one_channel_only(ch: Lane, ch2: Lane) -> None:
    assert (await ch.refused(Queue.Declare(queue="no", passive=True))).code == 404
    assert isinstance(await ch2.call(Basic.Qos()), Basic.QosOk)


async def test_what_comes_after_an_error_is_passed_over_until_close_ok(
    ch: Lane, ch2: Lane, vhost: str
) -> None:
    await ch2.declare("q", exclusive=True)
    ch.send(Queue.Declare(queue="no", passive=True))
    ch.publish("", "q", b"lost")
    ch.send(Queue.Declare(queue="made", exclusive=True), Basic.Qos())
    assert await ch.refusal() == Refusal(
        404, f"NOT_FOUND - no queue 'no' in vhost '{vhost}'", "Queue.Declare"
    )
    again = await ch.client.channel(ch.number)
    assert await again.bodies("q") == []
    assert (await again.refused(Queue.Declare(queue="made", passive=True))).code == 404


async def test_a_method_cut_off_from_its_content_by_a_close_harms_nobody(ch: Lane) -> None:
    """The content comes when the broker has closed the channel already."""
    ch.send(Queue.Declare(queue="none", passive=True), Basic.Publish(routing_key="q"))
    assert (await ch.next()).reply_code == 404
    ch.client.write(b"\x02\0\1\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\1\0\0\xce")
    ch.client.write(b"\x03\0\1\0\0\0\1m\xce")
    assert await ch.client.alive()


async def test_a_close_that_meets_the_brokers_close_is_answered(ch: Lane) -> None:
    ch.send(Queue.Declare(queue="no", passive=True), Channel.Close(200, "", 0, 0))
    assert (await ch.next()).reply_code == 404
    assert isinstance(await ch.next(), Channel.CloseOk)
    ch.send(Channel.CloseOk())
    again = await ch.client.channel(ch.number)
    assert isinstance(await again.call(Basic.Qos()), Basic.QosOk)


async def test_a_channel_is_opened_again_only_after_its_close_was_answered(ch: Lane) -> None:
    ch.send(Queue.Declare(queue="no", passive=True))
    assert (await ch.next()).reply_code == 404
    assert await ch.client.refused(Channel.Open(), ch.number) == Refusal(
        504, "CHANNEL_ERROR - second 'channel.open' seen", "Channel.Open"
    )


async def test_a_reply_text_that_is_too_long_ends_in_dots(ch: Lane, ch2: Lane, vhost: str) -> None:
    around = f"NOT_FOUND - no queue '{{}}' in vhost '{vhost}'"
    longest = "n" * (255 - len(around.format("")))
    fits = await ch.refused(Queue.Declare(queue=longest, passive=True))
    assert fits.text == around.format(longest)
    too_long = await ch2.refused(Queue.Declare(queue=longest + "n", passive=True))
    assert too_long.text == around.format(longest + "n")[:252] + "..."


async def test_access_is_granted_to_who_asks_as_clients_of_old_do(ch: Lane) -> None:
    ch.client.write(b"\x01\0\1\0\0\0\x0b\0\x1e\0\x0a\5/data\x1f\xce")
    granted = await ch.client.frame()
    assert (granted.channel, granted.payload) == (ch.number, b"\0\x1e\0\x0b\0\1")


async def test_as_many_channels_as_were_agreed_may_be_open(connect: Connect) -> None:
    client = await connect(channel_max=3)
    for number in (1, 2, 3):
        await client.channel(number)
    assert await client.refused(Channel.Open(), 4) == Refusal(
        530,
        "NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)",
        "",
    )


async def test_a_channel_number_may_be_larger_than_the_number_of_channels(
    connect: Connect,
) -> None:
    client = await connect(channel_max=3)
    assert isinstance(await (await client.channel(60_000)).call(Basic.Qos()), Basic.QosOk)


async def test_flow_may_only_be_told_to_go_on(ch: Lane) -> None:
    answer = await ch.call(Channel.Flow(active=True))
    assert answer.active is True
    assert await ch.client.refused(Channel.Flow(active=False), ch.number) == Refusal(
        540, "NOT_IMPLEMENTED - active=false", "Channel.Flow"
    )


@pytest.mark.parametrize(
    "method",
    [Basic.QosOk(), Channel.OpenOk(), Queue.DeclareOk("q", 0, 0), Basic.CancelOk("c")],
    ids=lambda method: str(method.name),
)
async def test_what_only_a_broker_says_costs_the_connection(ch: Lane, method: Any) -> None:
    assert await ch.client.refused(method, ch.number) == Refusal(
        503, "COMMAND_INVALID - unimplemented method", method.name
    )


async def test_closing_a_channel_requeues_what_it_had_taken(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    for content in (b"1", b"2"):
        ch.publish("", "q", content)
        await ch.get("q", no_ack=False)
    await ch.close()
    await ch2.until_ready("q", 2)  # RabbitMQ may requeue a moment later
    found = [await ch2.get("q"), await ch2.get("q")]
    assert [(m.body, m.method.redelivered) for m in found if m] == [(b"1", True), (b"2", True)]


async def test_closing_a_channel_before_tx_commit_rolls_back(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Tx.Select())
    ch.publish("", "q", b"never")
    await ch.close()
    assert await ch2.bodies("q") == []
