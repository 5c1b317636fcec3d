"""Transactions: what waits for the commit, and what is decided when it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue, Tx

from tests.behaviour.amqp.script import Lane, Refusal


async def taken(ch: Lane, far: Lane, count: int) -> None:
    """A queue `q` of which a transaction took so many messages, named by their numbers."""
    await far.declare("q")
    for number in range(1, count + 1):
        far.publish("", "q", b"%d" % number)
    await far.until_ready("q", count)
    await ch.call(Tx.Select())
    for _ in range(count):
        await ch.get("q", no_ack=False)


async def settled(ch: Lane) -> None:
    """Return once the broker has handled what was sent on the channel."""
    await ch.ask(Channel.Flow(active=True))


async def rest(far: Lane, count: int) -> list[tuple[bytes, bool]]:
    """What the queue has once so many are ready, and whether it was delivered before.

    RabbitMQ closes a channel first, and requeues what that had taken a moment later.
    """
    await far.until_ready("q", count)
    found = []
    while (message := await far.get("q")) is not None:
        found.append((message.body, message.method.redelivered))
    return found


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


# -- what is decided when it is sent --------------------------------------------------------------


async def test_a_message_goes_where_it_was_routed_when_it_was_published(
    ch: Lane, far: Lane
) -> None:
    await far.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    for queue in ("before", "after"):
        await far.declare(queue)
    await far.call(Queue.Bind(queue="before", exchange="x"))
    await ch.call(Tx.Select())
    ch.publish("x", "", b"m")
    await settled(ch)
    await far.call(Queue.Unbind(queue="before", exchange="x"))
    await far.call(Queue.Bind(queue="after", exchange="x"))
    await ch.call(Tx.Commit())
    assert [await far.bodies(queue) for queue in ("before", "after")] == [[b"m"], []]


async def test_a_message_arrives_though_its_exchange_was_deleted_meanwhile(
    ch: Lane, far: Lane
) -> None:
    await far.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    await far.declare("q")
    await far.call(Queue.Bind(queue="q", exchange="x"))
    await ch.call(Tx.Select())
    ch.publish("x", "", b"m")
    await settled(ch)
    await far.call(Exchange.Delete(exchange="x"))
    assert isinstance(await ch.call(Tx.Commit()), Tx.CommitOk)
    assert await far.bodies("q") == [b"m"]


async def test_a_queue_that_is_made_before_the_commit_gets_what_was_published_to_its_name_before_4(
    ch: Lane, far: Lane, since_4: bool
) -> None:
    await ch.call(Tx.Select())
    ch.publish("", "q", b"m", mandatory=True, headers={"CC": ["q"]})
    await settled(ch)
    await far.declare("q")
    ch.send(Tx.Commit())
    if since_4:
        assert isinstance((await ch.next()).method, Basic.Return)
    assert isinstance(await ch.next(), Tx.CommitOk)
    assert await far.bodies("q") == ([] if since_4 else [b"m"])


async def test_a_mandatory_message_whose_queue_was_deleted_comes_back_and_since_4_ends_the_channel(
    ch: Lane, far: Lane, since_4: bool
) -> None:
    await far.declare("q")
    await ch.call(Tx.Select())
    ch.publish("", "q", b"m", mandatory=True)
    await settled(ch)
    await far.call(Queue.Delete(queue="q"))
    ch.send(Tx.Commit())
    if since_4:
        assert (await ch.refusal()).text == "PRECONDITION_FAILED - partial tx completion"
        return
    assert isinstance((await ch.next()).method, Basic.Return)
    assert isinstance(await ch.next(), Tx.CommitOk)


async def test_an_unknown_exchange_costs_the_channel_at_once(ch: Lane, vhost: str) -> None:
    await ch.call(Tx.Select())
    ch.publish("nope", "", b"m")
    assert await ch.refusal() == Refusal(
        404, f"NOT_FOUND - no exchange 'nope' in vhost '{vhost}'", "Basic.Publish"
    )


async def test_a_delivery_is_acknowledged_once_in_a_transaction(ch: Lane, far: Lane) -> None:
    await taken(ch, far, 1)
    ch.send(Basic.Ack(delivery_tag=1))
    assert await ch.refused(Basic.Ack(delivery_tag=1)) == Refusal(
        406, "PRECONDITION_FAILED - unknown delivery tag 1", "Basic.Ack"
    )


async def test_an_ack_of_all_does_not_mean_what_came_after_it(ch: Lane, far: Lane) -> None:
    await taken(ch, far, 1)
    ch.send(Basic.Ack(delivery_tag=0, multiple=True))
    far.publish("", "q", b"later")
    await far.until_ready("q", 1)
    await ch.get("q", no_ack=False)
    await ch.call(Tx.Commit())
    await ch.close()
    assert await rest(far, 1) == [(b"later", True)]


async def test_recover_leaves_what_the_transaction_acknowledged(ch: Lane, far: Lane) -> None:
    await taken(ch, far, 2)
    ch.send(Basic.Ack(delivery_tag=1))
    await ch.call(Basic.Recover(requeue=True))
    assert await rest(far, 1) == [(b"2", True)]
    assert isinstance(await ch.call(Tx.Commit()), Tx.CommitOk)
    assert await rest(far, 0) == []


async def test_a_rollback_brings_tags_back_in_their_order(ch: Lane, far: Lane) -> None:
    await taken(ch, far, 3)
    ch.send(Basic.Ack(delivery_tag=2))
    await ch.call(Tx.Rollback())
    ch.send(Basic.Ack(delivery_tag=2, multiple=True))
    await ch.call(Tx.Commit())
    await ch.close()
    assert await rest(far, 1) == [(b"3", True)]


async def test_what_a_channel_acknowledged_and_did_not_commit_goes_back(
    ch: Lane, far: Lane
) -> None:
    await taken(ch, far, 3)
    ch.send(Basic.Ack(delivery_tag=2))
    await ch.close()
    assert await rest(far, 3) == [(b"1", True), (b"2", True), (b"3", True)]


# -- what the commit does -------------------------------------------------------------------------


async def test_a_consumer_gets_more_once_its_acks_are_committed(ch: Lane, far: Lane) -> None:
    await far.declare("q")
    far.publish("", "q", b"1")
    far.publish("", "q", b"2")
    await far.until_ready("q", 2)
    await ch.call(Tx.Select())
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q")
    ch.send(Basic.Ack(delivery_tag=(await ch.delivery()).tag))
    assert await ch.nothing_came()
    ch.send(Tx.Commit())
    assert isinstance(await ch.next(), Tx.CommitOk)  # and then what it caused
    assert (await ch.delivery()).body == b"2"


async def test_a_refused_commit_does_all_that_can_be_done(ch: Lane, far: Lane) -> None:
    await taken(ch, far, 1)
    await far.declare("full", x_max_length=0, x_overflow="reject-publish")
    await far.declare("free")
    ch.publish("", "full", b"m")
    ch.publish("", "free", b"m")
    ch.send(Basic.Ack(delivery_tag=1))
    assert (await ch.refused(Tx.Commit())).code == 406
    await far.until_ready("free", 1)
    assert await rest(far, 0) == []


async def test_what_a_transaction_rejects_makes_letters_in_the_order_of_its_deliveries(
    ch: Lane, far: Lane
) -> None:
    await far.declare("dead")
    await far.declare("q", x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    for number in range(4):
        far.publish("", "q", b"%d" % number)
    await far.until_ready("q", 4)
    await ch.call(Tx.Select())
    for _ in range(4):
        await ch.get("q", no_ack=False)
    ch.send(*(Basic.Nack(delivery_tag=tag, requeue=False) for tag in (3, 1, 4, 2)))
    await ch.call(Tx.Commit())
    await far.until_ready("dead", 4)
    assert b"".join(await far.bodies("dead")) == b"0123"
