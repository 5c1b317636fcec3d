from __future__ import annotations

import inspect
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from leveret.broker.model.messages import Entry
from tests.unit.broker.world import World, message


@pytest.fixture
def world() -> World:
    return World()


def taken(world: World, name: str) -> Entry:
    entry = world.vhost.queue(name).get(no_ack=False)
    assert entry is not None, f"nothing is in {name}"
    return entry


def reject(world: World, name: str) -> None:
    world.vhost.queue(name).reject(taken(world, name))
    world.vhost.publish_dead_letters()


def headers(entry: Entry) -> dict[str, Any]:
    return entry.message.properties.headers or {}


def test_a_dead_letter_tells_why_where_and_when_it_died(world: World) -> None:
    world.queue("grave")
    world.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="grave")
    world.publish(message("a", "q", headers={"k": 1, "CC": ["c"]}, expiration="5000"))
    reject(world, "q")
    entry = taken(world, "grave")
    assert headers(entry) == {
        "k": 1,
        "x-death": [
            {
                "count": 1,
                "reason": "rejected",
                "queue": "q",
                "time": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
                "exchange": "",
                "routing-keys": ["q", "c"],
                "original-expiration": "5000",
            }
        ],
        "x-first-death-exchange": "",
        "x-first-death-queue": "q",
        "x-first-death-reason": "rejected",
    }
    assert entry.message.properties.expiration is None
    assert entry.expires_at is None


def test_without_a_key_of_its_own_it_keeps_all_its_keys(world: World) -> None:
    world.queue("other")
    dead = world.vhost.declare_exchange("dead", "direct")
    world.vhost.bind(world.queue("grave"), dead, "q", {})
    world.queue("q", x_dead_letter_exchange="dead")
    world.publish(message("a", "q"))
    reject(world, "q")
    assert world.drained("grave") == "a"


def test_a_second_death_of_the_same_kind_is_counted(world: World) -> None:
    world.queue("one", x_dead_letter_exchange="", x_dead_letter_routing_key="two")
    world.queue("two", x_dead_letter_exchange="", x_dead_letter_routing_key="one")
    world.publish(message("a", "one"))
    for name in ("one", "two", "one"):
        reject(world, name)
    deaths = headers(taken(world, "two"))["x-death"]
    assert [(death["queue"], death["count"]) for death in deaths] == [("one", 2), ("two", 1)]


def test_a_message_that_expires_in_circles_is_dropped(world: World) -> None:
    world.queue("q", x_dead_letter_exchange="", x_message_ttl=10)
    world.publish(message("a", "q"))
    world.later(1)
    assert world.vhost.queue("q").ready == 0


def test_a_circle_with_a_rejection_in_it_goes_on(world: World) -> None:
    world.queue("work", x_dead_letter_exchange="", x_dead_letter_routing_key="retry")
    world.queue(
        "retry", x_dead_letter_exchange="", x_dead_letter_routing_key="work", x_message_ttl=10
    )
    world.publish(message("a", "work"))
    for _ in range(3):
        reject(world, "work")
        world.later(1)
    assert world.drained("work") == "a"


def test_a_full_queue_may_refuse_and_dead_letter(world: World) -> None:
    world.queue("grave")
    queue = world.queue(
        "q",
        x_max_length=0,
        x_overflow="reject-publish-dlx",
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="grave",
    )
    assert queue.publish(message("a")) is False
    world.vhost.publish_dead_letters()
    assert headers(taken(world, "grave"))["x-first-death-reason"] == "maxlen"


def test_headers_that_the_death_does_not_touch_keep_their_bytes(world: World) -> None:
    world.queue("grave")
    queue = world.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="grave")
    odd = b"\x01ks\x00\x05"  # a 16-bit number, which encoding again would make an octet
    one = message("a", "q", headers={"k": 5})
    one.packed = b"\x20\x00" + len(odd).to_bytes(4) + odd
    queue.publish(one)
    reject(world, "q")
    assert odd in taken(world, "grave").message.packed


def test_a_chain_of_many_queues_is_no_recursion(world: World) -> None:
    for number in range(100):
        world.queue(
            f"q{number}",
            x_message_ttl=0,
            x_dead_letter_exchange="",
            x_dead_letter_routing_key=f"q{number + 1}",
        )
    world.queue("q100")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        world.publish(message("a", "q0"))
    finally:
        sys.setrecursionlimit(limit)
    assert world.drained("q100") == "a"
