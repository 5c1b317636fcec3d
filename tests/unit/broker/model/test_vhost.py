from __future__ import annotations

from typing import Any

import pytest

from leveret.broker.refusals import Refused
from tests.unit.broker.world import World

OWNER, OTHER = object(), object()


@pytest.fixture
def world() -> World:
    return World()


def test_a_queue_without_a_name_gets_one(world: World) -> None:
    first = world.vhost.declare_queue("", OWNER)
    assert first.name.startswith("amq.gen-")
    assert world.vhost.declare_queue("", OWNER) is not first


def test_what_is_declared_again_must_be_the_same(world: World) -> None:
    vhost = world.vhost
    queue = vhost.declare_queue("q", OWNER, arguments={"x-max-length": 1})
    assert vhost.declare_queue("q", OTHER, arguments={"x-max-length": 1}) is queue
    with pytest.raises(Refused, match="inequivalent arg 'x-max-length'"):
        vhost.declare_queue("q", OWNER, arguments={"x-max-length": 2})
    with pytest.raises(Refused, match="inequivalent arg 'durable'"):
        vhost.declare_queue("q", OWNER, durable=True, arguments={"x-max-length": 1})
    exchange = vhost.declare_exchange("x", "topic")
    assert vhost.declare_exchange("x", "topic") is exchange
    with pytest.raises(Refused, match="inequivalent arg 'type'"):
        vhost.declare_exchange("x", "direct")


def test_an_exclusive_queue_is_its_owners_alone(world: World) -> None:
    vhost = world.vhost
    queue = vhost.declare_queue("q", OWNER, exclusive=True)
    assert vhost.queue("q", OWNER) is queue
    with pytest.raises(Refused, match="RESOURCE_LOCKED"):
        vhost.queue("q", OTHER)
    with pytest.raises(Refused, match="RESOURCE_LOCKED"):
        vhost.declare_queue("q", OTHER)
    vhost.delete_exclusive_queues(OTHER)
    assert not queue.deleted
    vhost.delete_exclusive_queues(OWNER)
    assert queue.deleted


def test_a_queue_that_is_refused_is_not_there(world: World) -> None:
    wrong: dict[str, Any] = {"x-max-length": -1}
    with pytest.raises(Refused):
        world.vhost.declare_queue("q", OWNER, arguments=wrong)
    with pytest.raises(Refused, match="NOT_FOUND"):
        world.vhost.queue("q")


def test_an_alternate_exchange_must_have_a_name(world: World) -> None:
    with pytest.raises(Refused, match="invalid type 'long' for arg 'alternate-exchange'"):
        world.vhost.declare_exchange("x", "fanout", arguments={"alternate-exchange": 1})


def test_a_dead_letter_goes_where_its_queue_sends_it(world: World) -> None:
    world.queue("dead")
    queue = world.queue(x_dead_letter_exchange="", x_dead_letter_routing_key="dead", x_max_length=1)
    world.fill(queue, "ab")
    assert (world.drained("dead"), world.drained()) == ("a", "b")
