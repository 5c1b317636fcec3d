from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.model.consumers import Consumer
from leveret.broker.model.messages import Entry
from leveret.broker.model.queues import Queue
from tests.unit.amqp.strategies import FAST
from tests.unit.broker.world import Taker, World, message


@pytest.fixture
def world() -> World:
    return World()


def consume(queue: Queue, taker: Taker, tag: str, **options: Any) -> Consumer:
    consumer = Consumer(tag, taker, **options)
    queue.add_consumer(consumer)
    queue.run()
    return consumer


def taken(queue: Queue, count: int) -> list[Entry]:
    entries = [queue.get(no_ack=False) for _ in range(count)]
    return [entry for entry in entries if entry is not None]


# -- consumers -----------------------------------------------------------------------------------


def test_consumers_take_turns(world: World) -> None:
    queue, taker = world.queue(), Taker()
    for tag in "abc":
        consume(queue, taker, tag)
    world.fill(queue, "1234567")
    assert taker.tags == "abcabca"


def test_the_higher_priority_gets_all_until_it_has_enough(world: World) -> None:
    queue, taker = world.queue(), Taker()
    consume(queue, taker, "l")
    consume(queue, taker, "h", priority=5, prefetch=2)
    world.fill(queue, "1234")
    assert taker.tags == "hhll"


def test_a_consumer_that_was_full_gets_more_once_woken(world: World) -> None:
    queue, taker = world.queue(), Taker()
    consumer = consume(queue, taker, "a", prefetch=1)
    world.fill(queue, "123")
    assert taker.bodies == "1"
    queue.ack(taker.taken[0][1])
    consumer.unacked -= 1
    queue.consumers.wake(consumer)
    queue.run()
    assert taker.bodies == "12"


def test_a_single_active_consumer_hands_over_when_it_leaves(world: World) -> None:
    queue, taker = world.queue(x_single_active_consumer=True), Taker()
    first = consume(queue, taker, "a", no_ack=True)
    consume(queue, taker, "b", no_ack=True)
    world.fill(queue, "12")
    queue.remove_consumer(first)
    world.fill(queue, "3")
    assert taker.tags == "aab"


def test_an_auto_delete_queue_goes_with_its_last_consumer(world: World) -> None:
    queue = world.vhost.declare_queue("gone", None, auto_delete=True)
    consumer = consume(queue, Taker(), "a")
    queue.remove_consumer(consumer)
    assert "gone" not in world.vhost.queues


def test_consumers_of_a_deleted_queue_are_told(world: World) -> None:
    queue, taker = world.queue(), Taker()
    consume(queue, taker, "a")
    world.vhost.delete_queue(queue)
    assert taker.gone == ["a"]


# -- time ----------------------------------------------------------------------------------------


def test_messages_expire_when_their_queue_says_so(world: World) -> None:
    queue = world.queue(x_message_ttl=1000)
    world.fill(queue, "a")
    world.later(0.6)
    world.fill(queue, "b")
    world.later(0.5)
    assert world.drained() == "b"


def test_a_message_expires_only_once_it_is_at_the_head(world: World) -> None:
    queue = world.queue()
    world.fill(queue, "a")
    world.fill(queue, "b", expiration="10")
    world.later(1)
    assert queue.ready == 2
    taken(queue, 1)
    assert queue.get(no_ack=True) is None


def test_the_clock_says_when_the_head_expires(world: World) -> None:
    world.fill(world.queue(), "a", expiration="1500")
    assert world.clock.next_deadline() == world.clock.now + 1.5


def test_a_message_with_no_time_is_delivered_now_or_never(world: World) -> None:
    queue, taker = world.queue(x_message_ttl=0), Taker(room=1)
    world.fill(queue, "a")
    assert queue.ready == 0
    consume(queue, taker, "c")
    world.fill(queue, "bc")
    assert taker.bodies == "b"
    assert queue.ready == 0


def test_an_unused_queue_expires(world: World) -> None:
    queue = world.queue(x_expires=1000)
    world.later(0.9)
    queue.touch()
    world.later(0.9)
    assert not queue.deleted
    world.later(0.2)
    assert queue.deleted


def test_a_queue_with_a_consumer_does_not_expire(world: World) -> None:
    queue = world.queue(x_expires=1000)
    consumer = consume(queue, Taker(), "a")
    world.later(5)
    assert not queue.deleted
    queue.remove_consumer(consumer)
    world.later(1)
    assert queue.deleted


# -- length --------------------------------------------------------------------------------------


def test_a_full_queue_drops_its_head(world: World) -> None:
    world.fill(world.queue(x_max_length=2), "abcd")
    assert world.drained() == "cd"


def test_a_queue_is_bounded_in_bytes_too(world: World) -> None:
    queue = world.queue(x_max_length_bytes=5)
    for body in ("aa", "bbb", "cc"):
        queue.publish(message(body))
    assert world.drained() == "bbbcc"


def test_a_full_queue_may_refuse_instead(world: World) -> None:
    queue = world.queue(x_max_length=1, x_overflow="reject-publish")
    assert [queue.publish(message("a")), queue.publish(message("b"))] == [True, False]


def test_a_quorum_queue_gives_up_a_message_that_came_back_too_often(world: World) -> None:
    world.queue("dead")
    queue = world.queue(
        "q",
        x_queue_type="quorum",
        x_delivery_limit=2,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="dead",
    )
    world.fill(queue, "a")
    for count in range(3):
        (entry,) = taken(queue, 1)
        assert entry.delivery_count == count
        queue.requeue([entry])
    world.vhost.publish_dead_letters()
    dead = world.vhost.queue("dead").get(no_ack=True)
    assert dead is not None
    assert (dead.message.properties.headers or {})["x-first-death-reason"] == "delivery_limit"


# -- memory --------------------------------------------------------------------------------------


@FAST
@given(st.lists(st.sampled_from(["publish", "get", "ack", "back", "reject", "purge", "later"])))
def test_all_memory_is_given_back_in_the_end(steps: list[str]) -> None:
    world = World()
    queue = world.queue(x_max_length=3, x_message_ttl=1000, x_dead_letter_exchange="")
    out: list[Entry] = []
    for step in steps:
        match step:
            case "publish":
                queue.publish(message("body"))
            case "get":
                out += taken(queue, 1)
            case "ack" if out:
                queue.ack(out.pop())
            case "back" if out:
                queue.requeue([out.pop()])
            case "reject" if out:
                queue.reject(out.pop())
            case "purge":
                queue.purge()
            case "later":
                world.later(0.6)
    for entry in out:
        queue.ack(entry)
    world.vhost.publish_dead_letters()
    world.vhost.delete_queue(queue)
    assert world.memory.used == 0


def test_a_message_weighs_once_in_however_many_queues_it_lies(world: World) -> None:
    queues = [world.queue(f"q{number}") for number in range(10)]
    one = message("x" * 10_000)
    for queue in queues:
        queue.publish(one)
    assert 10_000 < world.memory.used < 12_000
    for queue in queues[1:]:
        queue.purge()
    assert world.memory.used > 10_000
    queues[0].purge()
    assert world.memory.used == 0
