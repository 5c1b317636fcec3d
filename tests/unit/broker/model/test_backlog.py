"""The order in which messages leave a queue, whatever comes back to it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.model.backlog import Backlog
from leveret.broker.model.messages import Entry
from leveret.broker.model.queues import Queue
from tests.unit.amqp.strategies import FAST
from tests.unit.broker.world import World, message


@pytest.fixture
def world() -> World:
    return World()


def taken(queue: Queue, count: int) -> list[Entry]:
    entries = [queue.get(no_ack=False) for _ in range(count)]
    return [entry for entry in entries if entry is not None]


class Watched(Entry):
    """An entry that counts how often anybody looks at it."""

    def __init__(self, number: int, looks: Counter[str]) -> None:
        super().__init__(message(), number, None)
        self.looks = looks

    def __getattribute__(self, name: str) -> object:
        if name == "position":
            self.looks[name] += 1
        return super().__getattribute__(name)


@FAST
@given(st.lists(st.sampled_from(["publish", "get", "back", "all back"]), max_size=60))
def test_messages_leave_in_the_order_of_publishing_whatever_comes_back(steps: list[str]) -> None:
    world = World()
    queue = world.queue()
    waiting: list[int] = []  # the model: numbers in order, and those that are out
    out: dict[int, Entry] = {}
    for number, step in enumerate(steps):
        if step == "publish":
            queue.publish(message(str(number)))
            waiting.append(number)
        elif step == "get":
            entry = queue.get(no_ack=False)
            assert (entry is None) == (not waiting)
            if entry is not None:
                first = waiting.pop(0)
                assert entry.message.body == str(first).encode()
                out[first] = entry
        elif out:
            back = list(out) if step == "all back" else [max(out)]
            queue.requeue([out.pop(n) for n in back])
            waiting = sorted(waiting + back)
        assert queue.ready == len(waiting)


@FAST
@given(st.lists(st.sampled_from(["publish", "get", "back", "closed"]), max_size=60))
def test_a_quorum_queue_gives_back_in_the_order_of_return(steps: list[str]) -> None:
    world = World()
    queue = world.queue(x_queue_type="quorum", x_delivery_limit=1000)
    waiting: list[int] = []
    returned: list[int] = []
    out: dict[int, Entry] = {}
    for number, step in enumerate(steps):
        if step == "publish":
            queue.publish(message(str(number)))
            waiting.append(number)
        elif step == "get":
            entry = queue.get(no_ack=False)
            if entry is not None:
                first = (returned or waiting).pop(0)
                assert entry.message.body == str(first).encode()
                out[first] = entry
        elif out:
            back = list(out) if step == "closed" else [max(out)]
            queue.requeue([out.pop(n) for n in back], channel_ended=step == "closed")
            returned += back
        assert queue.ready == len(waiting) + len(returned)


def test_what_comes_back_one_by_one_costs_little_however_much_waits() -> None:
    backlog = Backlog()
    looks = Counter[str]()
    for number in range(5000):
        backlog.push(Watched(number, looks))
    out = [backlog.pop() for _ in range(500)]
    looks.clear()
    for entry in out:
        backlog.put_back([entry])
    assert [backlog.pop() for _ in range(500)] == out
    assert looks["position"] < 20 * 500


@FAST
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30))
def test_the_highest_priority_leaves_first_and_equals_in_their_order(
    given_priorities: list[tuple[int, bool]],
) -> None:
    world = World()
    queue = world.queue(x_max_priority=5)
    for number, (priority, _) in enumerate(given_priorities):
        queue.publish(message(str(number), priority=priority))
    wanted = sorted(
        range(len(given_priorities)), key=lambda n: (-min(given_priorities[n][0], 5), n)
    )
    entries = taken(queue, len(wanted))
    assert [int(entry.message.body) for entry in entries] == wanted
    back = [e for e, (_, again) in zip(entries, given_priorities, strict=True) if again]
    queue.requeue(back)
    left = taken(queue, len(back))
    assert [int(entry.message.body) for entry in left] == [int(e.message.body) for e in back]


def test_what_comes_back_is_marked_as_redelivered(world: World) -> None:
    queue = world.queue()
    world.fill(queue, "ab")
    first, _ = taken(queue, 2)
    queue.requeue([first])
    (again,) = taken(queue, 1)
    assert again.message.body == b"a"
    assert again.redelivered
