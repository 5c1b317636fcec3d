"""Direct reply-to: answers that go through no queue."""

from __future__ import annotations

import struct

from pamqp.commands import Basic, Queue, Tx

from tests.behaviour.amqp.script import Lane, Refusal

PSEUDO = "amq.rabbitmq.reply-to"


async def asked(ch: Lane, far: Lane) -> str:
    """Send a request from one channel to the other; returns where its answer is to go."""
    await far.declare("requests")
    await ch.consume(PSEUDO, "replies", no_ack=True)
    ch.publish("", "requests", b"?", reply_to=PSEUDO, correlation_id="1")
    await far.until_ready("requests", 1)
    request = await far.get("requests")
    assert request is not None
    return str(request.properties.reply_to)


def look_at(ch: Lane, queue: str) -> None:
    """A passive declare of a name that pamqp takes for none."""
    name = queue.encode()
    payload = b"\0\x32\0\x0a\0\0" + bytes([len(name)]) + name + b"\x01\0\0\0\0"
    ch.client.write(struct.pack(">BHI", 1, ch.number, len(payload)) + payload + b"\xce")


async def test_an_answer_comes_straight_to_who_asked(ch: Lane, far: Lane) -> None:
    reply_to = await asked(ch, far)
    assert reply_to.startswith(f"{PSEUDO}.")
    far.publish("", reply_to, b"!", correlation_id="1")
    reply = await ch.delivery()
    deliver = reply.method
    assert (deliver.consumer_tag, deliver.exchange, deliver.redelivered) == ("replies", "", False)
    assert deliver.routing_key == reply_to
    assert (reply.body, reply.properties.correlation_id) == (b"!", "1")


async def test_each_answer_comes(ch: Lane, far: Lane) -> None:
    reply_to = await asked(ch, far)
    for number in range(5):
        far.publish("", reply_to, b"%d" % number)
    assert [(await ch.delivery()).body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_request_without_a_consumer_for_its_answer_is_refused(ch: Lane) -> None:
    ch.publish("", "requests", b"?", reply_to=PSEUDO)
    assert await ch.refusal() == Refusal(
        406, "PRECONDITION_FAILED - fast reply consumer does not exist", "Basic.Publish"
    )


async def test_the_consumer_must_be_of_the_same_channel(ch: Lane, ch2: Lane) -> None:
    await ch.consume(PSEUDO, no_ack=True)
    ch2.publish("", "requests", b"?", reply_to=PSEUDO)
    assert (await ch2.refusal()).code == 406


async def test_answers_are_taken_without_acknowledgement_only(ch: Lane) -> None:
    assert await ch.refused(Basic.Consume(queue=PSEUDO, no_ack=False)) == Refusal(
        406,
        "PRECONDITION_FAILED - reply consumer cannot acknowledge",
        "Basic.Consume",
    )


async def test_one_consumer_for_answers_is_enough(ch: Lane) -> None:
    await ch.consume(PSEUDO, "a", no_ack=True)
    assert await ch.refused(Basic.Consume(queue=PSEUDO, consumer_tag="b", no_ack=True)) == Refusal(
        406, "PRECONDITION_FAILED - reply consumer already set", "Basic.Consume"
    )


async def test_the_pseudo_queue_may_be_declared_and_has_nothing(ch: Lane) -> None:
    answer = await ch.call(Queue.Declare(queue=PSEUDO, passive=True))
    assert (answer.queue, answer.message_count, answer.consumer_count) == (PSEUDO, 0, 1)


async def test_a_server_may_look_whether_its_client_is_there(ch: Lane, far: Lane) -> None:
    reply_to = await asked(ch, far)
    look_at(far, reply_to)
    answer = await far.next()
    assert (answer.queue, answer.message_count, answer.consumer_count) == (reply_to, 0, 1)
    await ch.close()
    look_at(far, reply_to)
    assert (await far.refusal()).code == 404


async def test_an_answer_to_who_is_gone_comes_back(ch: Lane, far: Lane) -> None:
    reply_to = await asked(ch, far)
    await ch.close()
    far.publish("", reply_to, b"!", mandatory=True)
    assert (await far.next()).method.reply_text == "NO_ROUTE"


async def test_after_a_cancel_there_are_no_answers(ch: Lane, far: Lane) -> None:
    reply_to = await asked(ch, far)
    assert isinstance(await ch.call(Basic.Cancel(consumer_tag="replies")), Basic.CancelOk)
    far.publish("", reply_to, b"!", mandatory=True)
    await far.ask(Basic.Qos())
    assert await ch.nothing_came()
    await ch.consume(PSEUDO, "again", no_ack=True)


async def test_answers_have_the_tag_of_the_next_message_and_do_not_use_it_up(
    ch: Lane, far: Lane
) -> None:
    reply_to = await asked(ch, far)
    for _ in range(2):
        far.publish("", reply_to, b"!")
    assert [(await ch.delivery()).tag for _ in range(2)] == [1, 1]
    far.publish("", "requests", b"m")
    await far.until_ready("requests", 1)
    message = await ch.get("requests")
    assert message is not None
    assert message.tag == 1
    for _ in range(2):
        far.publish("", reply_to, b"!")
    assert [(await ch.delivery()).tag for _ in range(2)] == [2, 2]


async def test_a_dead_letter_may_be_an_answer_before_4(ch: Lane, far: Lane, since_4: bool) -> None:
    reply_to = await asked(ch, far)
    await far.declare("q", x_dead_letter_exchange="", x_dead_letter_routing_key=reply_to)
    far.publish("", "q", b"m")
    await far.until_ready("q", 1)
    message = await far.get("q", no_ack=False)
    assert message is not None
    far.send(Basic.Reject(delivery_tag=message.tag, requeue=False))
    if since_4:  # then it is lost, and this is all that comes
        far.publish("", reply_to, b"!")
        assert (await ch.delivery()).body == b"!"
        return
    reply = await ch.delivery()
    assert (reply.body, reply.method.routing_key) == (b"m", reply_to)
    assert reply.headers["x-first-death-queue"] == "q"


async def test_an_answer_in_a_transaction_does_not_wait_for_its_commit(ch: Lane, far: Lane) -> None:
    reply_to = await asked(ch, far)
    await far.call(Tx.Select())
    far.publish("", reply_to, b"!")
    assert (await ch.delivery()).body == b"!"


async def test_the_consumer_of_answers_has_a_tag_of_its_own(ch: Lane) -> None:
    await ch.consume(PSEUDO, "c", no_ack=True)
    await ch.declare("q", exclusive=True)
    await ch.consume("q", "c")
    await ch.call(Basic.Cancel(consumer_tag="c"))  # that of the answers
    ch.publish("", "q", b"m")
    assert (await ch.delivery()).method.consumer_tag == "c"


async def test_the_pseudo_queue_is_the_last_that_was_declared(ch: Lane, vhost: str) -> None:
    await ch.call(Queue.Declare(queue=PSEUDO, passive=True))
    assert await ch.refused(Basic.Get(queue="")) == Refusal(
        404, f"NOT_FOUND - no queue '{PSEUDO}' in vhost '{vhost}'", "Basic.Get"
    )
