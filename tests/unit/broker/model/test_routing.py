from __future__ import annotations

import pytest

from leveret.broker.refusals import Refused
from tests.unit.broker.world import World, message


@pytest.fixture
def world() -> World:
    return World()


def test_the_default_exchange_leads_to_the_queue_of_the_keys_name(world: World) -> None:
    world.queue("q")
    world.publish(message("a", "q"), message("b", "nobody"))
    assert world.drained("q") == "a"


def test_a_queue_gets_one_copy_however_many_bindings_match(world: World) -> None:
    queue = world.queue("q")
    topic = world.vhost.exchange("amq.topic")
    for pattern in ("#", "a.*", "a.b"):
        world.vhost.bind(queue, topic, pattern, {})
    world.publish(message("1", "a.b", "amq.topic"))
    assert world.drained("q") == "1"


def test_exchanges_lead_to_exchanges_and_not_in_circles(world: World) -> None:
    vhost = world.vhost
    one = vhost.declare_exchange("one", "fanout")
    two = vhost.declare_exchange("two", "fanout")
    vhost.bind(two, one, "", {})
    vhost.bind(one, two, "", {})
    vhost.bind(world.queue("q"), two, "", {})
    world.publish(message("1", "k", "one"))
    assert world.drained("q") == "1"


def test_what_matches_nothing_goes_to_the_alternate_exchange(world: World) -> None:
    vhost = world.vhost
    vhost.bind(world.queue("rest"), vhost.declare_exchange("others", "fanout"), "", {})
    main = vhost.declare_exchange("main", "direct", arguments={"alternate-exchange": "others"})
    vhost.bind(world.queue("q"), main, "known", {})
    world.publish(message("1", "known", "main"), message("2", "unknown", "main"))
    assert (world.drained("q"), world.drained("rest")) == ("1", "2")


def test_a_new_binding_counts_for_the_very_next_message(world: World) -> None:
    vhost = world.vhost
    direct = vhost.exchange("amq.direct")
    world.publish(message("1", "k", "amq.direct"))
    queue = world.queue("q")
    vhost.bind(queue, direct, "k", {})
    world.publish(message("2", "k", "amq.direct"))
    vhost.unbind(queue, direct, "k", {})
    world.publish(message("3", "k", "amq.direct"))
    assert world.drained("q") == "2"


def test_a_binding_to_headers_behind_a_fanout_looks_at_each_message(world: World) -> None:
    vhost = world.vhost
    first = vhost.declare_exchange("first", "fanout")
    vhost.bind(vhost.exchange("amq.headers"), first, "", {})
    vhost.bind(world.queue("q"), vhost.exchange("amq.headers"), "", {"a": 1})
    world.publish(
        message("1", "k", "first", headers={"a": 1}),
        message("2", "k", "first", headers={"a": 2}),
    )
    assert world.drained("q") == "1"


def test_an_auto_delete_exchange_goes_with_its_last_binding(world: World) -> None:
    vhost = world.vhost
    exchange = vhost.declare_exchange("x", "fanout", auto_delete=True)
    queue = world.queue("q")
    vhost.bind(queue, exchange, "", {})
    vhost.delete_queue(queue)
    assert "x" not in vhost.exchanges


def test_a_deleted_queue_is_no_destination_any_more(world: World) -> None:
    vhost = world.vhost
    vhost.bind(world.queue("q"), vhost.exchange("amq.fanout"), "", {})
    world.publish(message("1", "k", "amq.fanout"))
    vhost.delete_queue(vhost.queue("q"))
    world.queue("q")
    world.publish(message("2", "k", "amq.fanout"))
    assert world.drained("q") == ""


def test_an_exchange_in_use_is_not_deleted_if_unused(world: World) -> None:
    vhost = world.vhost
    exchange = vhost.declare_exchange("x", "fanout")
    vhost.bind(world.queue("q"), exchange, "", {})
    with pytest.raises(Refused, match="PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"):
        vhost.delete_exchange("x", if_unused=True)
