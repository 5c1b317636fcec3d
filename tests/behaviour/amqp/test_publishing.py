"""Publishing: returns, confirms, transactions, CC and BCC, and what the broker checks."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue, Tx

from tests.behaviour.amqp.script import Client, Connect, Lane, Message, Refusal


async def acked(ch: Lane, count: int) -> set[int]:
    """The sequence numbers that the next acks stand for, until there are so many."""
    found: set[int] = set()
    while len(found) < count:
        ack = await ch.next()
        assert isinstance(ack, Basic.Ack), f"an ack was due: {ack}"
        first = max(found, default=0) + 1 if ack.multiple else ack.delivery_tag
        found |= set(range(first, ack.delivery_tag + 1))
    return found


# -- mandatory ------------------------------------------------------------------------------------


async def test_a_mandatory_message_without_a_queue_comes_back_whole(ch: Lane) -> None:
    ch.publish("amq.direct", "no", b"body", mandatory=True, headers={"a": 1}, message_id="7")
    back = await ch.next()
    assert isinstance(back, Message)
    assert isinstance(back.method, Basic.Return)
    assert (back.method.reply_code, back.method.reply_text) == (312, "NO_ROUTE")
    assert (back.method.exchange, back.method.routing_key) == ("amq.direct", "no")
    assert (back.body, back.headers, back.properties.message_id) == (b"body", {"a": 1}, "7")


async def test_the_return_comes_before_the_confirm(ch: Lane) -> None:
    await ch.confirms()
    ch.publish("", "no", b"", mandatory=True)
    assert isinstance((await ch.next()).method, Basic.Return)
    assert await acked(ch, 1) == {1}


async def test_a_mandatory_message_with_a_queue_does_not_come_back(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.confirms()
    ch.publish("", "q", b"", mandatory=True)
    assert await acked(ch, 1) == {1}


async def test_immediate_is_not_implemented(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    ch.publish("", "q", b"", immediate=True)
    assert await ch.client.refusal() == Refusal(
        540, "NOT_IMPLEMENTED - immediate=true", "Basic.Publish"
    )


# -- confirms -------------------------------------------------------------------------------------


async def test_each_message_is_confirmed(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.confirms()
    for number in range(10):
        ch.publish("", "q", b"%d" % number, delivery_mode=1 + number % 2)
    assert await acked(ch, 10) == set(range(1, 11))


async def test_what_goes_nowhere_is_confirmed(ch: Lane) -> None:
    await ch.confirms()
    ch.publish("", "no", b"")
    ch.publish("amq.fanout", "no", b"")
    assert await acked(ch, 2) == {1, 2}


async def test_confirms_count_from_where_they_were_switched_on(ch: Lane) -> None:
    ch.publish("", "no", b"")
    await ch.confirms()
    await ch.confirms()
    ch.publish("", "no", b"")
    assert await acked(ch, 1) == {1}


async def test_confirms_may_be_switched_on_without_an_answer(ch: Lane) -> None:
    ch.send(Confirm.Select(nowait=True))
    ch.publish("", "no", b"")
    assert await acked(ch, 1) == {1}


async def test_a_message_to_many_queues_is_confirmed_once(ch: Lane) -> None:
    for queue in "abc":
        await ch.declare(queue, exclusive=True)
        await ch.call(Queue.Bind(queue=queue, exchange="amq.fanout"))
    await ch.confirms()
    ch.publish("amq.fanout", "", b"")
    assert await acked(ch, 1) == {1}
    assert await ch.nothing_came()


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
async def test_a_full_queue_that_rejects_is_told_by_a_nack(ch: Lane, overflow: str) -> None:
    await ch.declare("q", x_max_length=1, x_overflow=overflow)
    await ch.confirms()
    ch.publish("", "q", b"fits")
    assert await acked(ch, 1) == {1}
    ch.publish("", "q", b"does not")
    nack = await ch.next()
    assert isinstance(nack, Basic.Nack)
    assert (nack.delivery_tag, nack.multiple, nack.requeue) == (2, True, True)
    assert await ch.bodies("q") == [b"fits"]
    ch.publish("", "q", b"fits now")
    assert isinstance(await ch.next(), Basic.Ack)


async def test_one_full_queue_of_two_is_a_nack(ch: Lane) -> None:
    await ch.declare("full", x_max_length=0, x_overflow="reject-publish")
    await ch.declare("q")
    for queue in ("full", "q"):
        await ch.call(Queue.Bind(queue=queue, exchange="amq.fanout"))
    await ch.confirms()
    ch.publish("amq.fanout", "", b"m")
    assert isinstance(await ch.next(), Basic.Nack)
    await ch.until_ready("q", 1)
    assert await ch.bodies("q") == [b"m"]


# -- transactions ---------------------------------------------------------------------------------


async def test_a_transaction_publishes_at_its_commit(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Tx.Select())
    ch.publish("", "q", b"1")
    ch.publish("", "q", b"2")
    await ch.ask(Channel.Flow(active=True))
    assert await ch2.bodies("q") == []
    assert isinstance(await ch.call(Tx.Commit()), Tx.CommitOk)
    assert await ch2.bodies("q") == [b"1", b"2"]


async def test_a_rollback_publishes_nothing(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Tx.Select())
    ch.publish("", "q", b"never")
    assert isinstance(await ch.call(Tx.Rollback()), Tx.RollbackOk)
    ch.publish("", "q", b"then")
    await ch.call(Tx.Commit())
    assert await ch.bodies("q") == [b"then"]


async def test_a_transaction_acknowledges_at_its_commit(ch: Lane, ch2: Lane) -> None:
    await ch2.declare("q", exclusive=True)
    for content in (b"1", b"2", b"3"):
        ch2.publish("", "q", content)
    await ch2.until_ready("q", 3)
    await ch.call(Tx.Select())
    for _ in range(3):
        await ch.get("q", no_ack=False)
    ch.send(Basic.Ack(delivery_tag=1), Basic.Nack(delivery_tag=2, requeue=True))
    await ch.ask(Channel.Flow(active=True))
    assert await ch2.bodies("q") == []
    await ch.call(Tx.Commit())
    assert await ch2.bodies("q") == [b"2"]


async def test_a_rollback_takes_acknowledgements_back(ch: Lane, ch2: Lane) -> None:
    await ch2.declare("q", exclusive=True)
    ch2.publish("", "q", b"m")
    await ch2.until_ready("q", 1)
    await ch.call(Tx.Select())
    await ch.get("q", no_ack=False)
    ch.send(Basic.Ack(delivery_tag=1))
    await ch.call(Tx.Rollback())
    ch.send(Basic.Ack(delivery_tag=1))
    await ch.call(Tx.Commit())
    await ch.close()
    assert await ch2.bodies("q") == []


async def test_a_mandatory_message_in_a_transaction_comes_back_before_commit_ok(ch: Lane) -> None:
    await ch.call(Tx.Select())
    ch.publish("", "no", b"m", mandatory=True)
    ch.send(Tx.Commit())
    assert isinstance((await ch.next()).method, Basic.Return)
    assert isinstance(await ch.next(), Tx.CommitOk)


async def test_a_transaction_with_a_full_queue_is_refused(ch: Lane, vhost: str) -> None:
    await ch.declare("q", x_max_length=0, x_overflow="reject-publish")
    await ch.call(Tx.Select())
    ch.publish("", "q", b"m")
    assert await ch.refused(Tx.Commit()) == Refusal(
        406, "PRECONDITION_FAILED - partial tx completion", "Tx.Commit"
    )


@pytest.mark.parametrize("method", [Tx.Commit(), Tx.Rollback()], ids=["commit", "rollback"])
async def test_there_is_no_end_without_a_beginning(ch: Lane, method: Any) -> None:
    assert await ch.refused(method) == Refusal(
        406, "PRECONDITION_FAILED - channel is not transactional", method.name
    )


async def test_a_channel_is_for_confirms_or_for_transactions(ch: Lane, ch2: Lane) -> None:
    await ch.confirms()
    assert await ch.refused(Tx.Select()) == Refusal(
        406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", "Tx.Select"
    )
    await ch2.call(Tx.Select())
    assert await ch2.refused(Confirm.Select()) == Refusal(
        406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", "Confirm.Select"
    )


# -- CC and BCC -----------------------------------------------------------------------------------


async def test_cc_and_bcc_are_further_routing_keys(ch: Lane) -> None:
    for queue in ("to", "cc", "bcc", "none"):
        await ch.declare(queue, exclusive=True)
    ch.publish("", "to", b"m", headers={"CC": ["cc", "to"], "BCC": ["bcc"]})
    found = {queue: await ch.get(queue) for queue in ("to", "cc", "bcc", "none")}
    assert [queue for queue, message in found.items() if message] == ["to", "cc", "bcc"]
    for message in found.values():
        if message is not None:
            assert message.headers == {"CC": ["cc", "to"]}
            assert message.method.routing_key == "to"
    assert await ch.bodies("to") == []


async def test_cc_counts_for_mandatory(ch: Lane) -> None:
    await ch.declare("cc", exclusive=True)
    ch.publish("", "no", b"m", mandatory=True, headers={"CC": ["cc"]})
    assert await ch.bodies("cc") == [b"m"]
    assert await ch.nothing_came()


async def test_cc_is_matched_by_topic_patterns(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Queue.Bind(queue="q", exchange="amq.topic", routing_key="a.*"))
    ch.publish("amq.topic", "no", b"m", headers={"CC": ["a.b"]})
    assert await ch.bodies("q") == [b"m"]


@pytest.mark.parametrize("name", ["CC", "BCC"])
async def test_a_cc_that_is_no_list_is_refused(ch: Lane, name: str) -> None:
    ch.publish("", "no", b"m", headers={name: "q"})
    assert await ch.refusal() == Refusal(
        406,
        f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{name}",longstr}}',
        "Basic.Publish",
    )


# -- what is checked ------------------------------------------------------------------------------


async def test_the_users_own_name_passes(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    ch.publish("", "q", b"m", user_id="guest")
    message = await ch.get("q")
    assert message is not None
    assert message.properties.user_id == "guest"


async def test_another_users_name_is_refused(ch: Lane) -> None:
    ch.publish("", "q", b"m", user_id="root")
    assert await ch.refusal() == Refusal(
        406,
        "PRECONDITION_FAILED - user_id property set to 'root' but authenticated user was 'guest'",
        "Basic.Publish",
    )


@pytest.mark.parametrize(
    ("expiration", "text"),
    [
        ("soon", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("1.5", '{leftover_string,".5"}'),
    ],
)
async def test_an_expiration_that_is_no_number_is_refused(
    ch: Lane, expiration: str, text: str
) -> None:
    ch.publish("", "no", b"m", expiration=expiration)
    assert await ch.refusal() == Refusal(
        406, f"PRECONDITION_FAILED - invalid expiration '{expiration}': {text}", "Basic.Publish"
    )


async def test_a_refused_message_reaches_nobody(ch: Lane, far: Lane) -> None:
    await far.declare("q")
    ch.publish("", "q", b"m", user_id="root")
    await ch.refusal()
    assert await far.bodies("q") == []


async def test_messages_of_one_channel_arrive_in_order(connect: Connect, ch: Lane) -> None:
    await ch.declare("q")
    await ch.consume("q", no_ack=True)
    far: Client = await connect()
    lane = await far.channel()
    for number in range(1000):
        lane.publish("", "q", b"%d" % number)
    assert [int((await ch.delivery()).body) for _ in range(1000)] == list(range(1000))


async def test_a_message_through_many_exchanges_says_the_first(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    await ch.call(Exchange.Bind(destination="x", source="amq.topic", routing_key="#"))
    await ch.call(Queue.Bind(queue="q", exchange="x"))
    ch.publish("amq.topic", "key", b"m")
    message = await ch.get("q")
    assert message is not None
    assert (message.method.exchange, message.method.routing_key) == ("amq.topic", "key")
