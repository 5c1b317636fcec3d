"""Publishing: returns, confirms, CC and BCC, and what the broker checks."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Confirm, Exchange, Queue

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


@pytest.mark.parametrize("name", ["CC", "BCC"])
async def test_a_cc_of_nothing_is_refused(ch: Lane, name: str) -> None:
    ch.publish("", "no", b"m", headers={name: None})
    assert await ch.refusal() == Refusal(
        406,
        f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{name}",void}}',
        "Basic.Publish",
    )


async def test_what_is_no_text_in_a_cc_is_passed_over(ch: Lane) -> None:
    for queue in ("to", "cc", "5"):
        await ch.declare(queue, exclusive=True)
    ch.publish("", "to", b"m", headers={"CC": [5, "cc", True, None], "BCC": [["to"]]})
    assert [await ch.bodies(queue) for queue in ("to", "cc", "5")] == [[b"m"], [b"m"], []]


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
