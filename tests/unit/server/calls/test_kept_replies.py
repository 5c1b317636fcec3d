"""Replies that may have to be sent again: which are kept, for how long, and how they are found."""

from __future__ import annotations

import pytest

from leveret.amqp.frames import publish, published
from leveret.amqp.properties import Properties
from leveret.errors import Busy, CallError, Executed
from leveret.server.calls.kept_replies import (
    SENT,
    SENT_SIZE,
    UNACKED,
    UNACKED_SIZE,
    KeptReplies,
    doubted,
)
from leveret.wire.failures import decode_failure, encode_failure
from tests.unit.server.calls.making import name

QUEUE = "leveret.desk.work"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> KeptReplies:
    return KeptReplies(clock)


def test_a_small_reply_that_was_sent_is_found_by_its_call(kept: KeptReplies) -> None:
    kept.add_sent(QUEUE, name("1"), b"one")
    assert kept.find(name("1")) == (QUEUE, b"one")
    assert kept.find(name("2")) is None
    assert kept.unacked(QUEUE) == []


def error(executed: Executed, message: str = "no place", frame_max: int = 4096) -> bytes:
    """The frames of an error."""
    body = encode_failure(Busy(message, executed=executed, retry_after=2.0))
    properties = Properties(type="error", correlation_id="1", headers={"metadata": {"a": "b"}})
    return publish(3, "", "replies", properties, body, frame_max=frame_max)


def said(kept: tuple[str, bytes] | None) -> CallError:
    """What is said by a reply."""
    assert kept is not None
    return decode_failure(published(kept[1])[1], {}, "desk.work")


@pytest.mark.parametrize("message", ["no place", "no place" * 2000])
def test_once_its_channel_has_ended_an_error_does_not_say_that_the_handler_did_not_run(
    kept: KeptReplies, message: str
) -> None:
    frames = error("no", message)
    assert doubted(frames)[: frames.index(b"\xce")] == frames[: frames.index(b"\xce")]
    assert published(doubted(frames))[0] == published(frames)[0]
    kept.add_unacked(QUEUE, name("1"), frames, 200.0)
    told = said(kept.find(name("1")))
    assert isinstance(told, Busy)
    assert (told.message[:8], told.retry_after, told.executed) == ("no place", 2.0, "maybe")


def test_what_was_sent_is_true_until_its_channel_ends(kept: KeptReplies) -> None:
    kept.add_sent(QUEUE, name("1"), error("no"))
    kept.add_sent(QUEUE, name("2"), error("yes"))
    kept.add_sent("another", name("3"), error("no"))
    kept.doubt("a third")
    assert said(kept.find(name("1"))).executed == "no"
    kept.doubt(QUEUE)
    assert said(kept.find(name("1"))).executed == "maybe"
    assert said(kept.find(name("2"))).executed == "yes"
    assert said(kept.find(name("3"))).executed == "no"
    kept.add_sent(QUEUE, name("1"), error("no"))  # of a later call by that name
    assert said(kept.find(name("1"))).executed == "no"


@pytest.mark.parametrize("kind", ["result", "error"])
def test_what_only_looks_like_such_an_error_is_left_as_it_is(kind: str) -> None:
    frames = publish(1, "", "replies", Properties(type=kind), b'"executed":"no"', frame_max=4096)
    assert doubted(frames) == frames


def test_a_large_reply_that_was_sent_is_not_kept(kept: KeptReplies) -> None:
    kept.add_sent(QUEUE, name("1"), bytes(SENT_SIZE))
    kept.add_sent(QUEUE, name("2"), bytes(SENT_SIZE + 1))
    assert kept.find(name("1")) is not None
    assert kept.find(name("2")) is None


def test_the_latest_replies_of_each_queue_are_kept(kept: KeptReplies) -> None:
    kept.add_sent("another", name("of another"), b"")
    for n in range(2 * SENT):
        kept.add_sent(QUEUE, name(str(n)), b"")
    assert kept.find(name(str(SENT - 1))) is None
    assert kept.find(name(str(SENT))) is not None
    assert kept.find(name("of another")) is not None


def test_a_key_that_is_used_again_has_its_latest_reply(kept: KeptReplies) -> None:
    kept.add_sent(QUEUE, name("again"), b"old")
    for n in range(SENT - 1):
        kept.add_sent(QUEUE, name(str(n)), b"")
    kept.add_sent(QUEUE, name("again"), b"new")
    for n in range(SENT - 1):
        kept.add_sent(QUEUE, name(f"later {n}"), b"")
    assert kept.find(name("0")) is None
    assert kept.find(name("again")) == (QUEUE, b"new")


def test_an_unacknowledged_reply_is_kept_until_its_deadline(
    kept: KeptReplies, clock: Clock
) -> None:
    kept.add_unacked(QUEUE, name("1"), bytes(10_000), clock.now + 5)
    kept.add_unacked(QUEUE, name("2"), b"two", clock.now + 9)
    clock.now += 6
    assert kept.unacked(QUEUE) == [(name("2"), b"two")]
    assert kept.find(name("1")) is None


def test_an_unacknowledged_reply_comes_before_one_that_was_sent(
    kept: KeptReplies, clock: Clock
) -> None:
    kept.add_sent(QUEUE, name("1"), b"sent")
    kept.add_unacked("another", name("1"), b"unacked", clock.now + 5)
    assert kept.find(name("1")) == ("another", b"unacked")


def test_the_oldest_unacknowledged_replies_go_first(kept: KeptReplies, clock: Clock) -> None:
    for n in range(UNACKED + 1):
        kept.add_unacked(QUEUE, name(str(n)), b"", clock.now + 5)
    assert len(kept.unacked(QUEUE)) == UNACKED
    assert kept.find(name("0")) is None


def test_unacknowledged_replies_are_bounded_by_their_size(kept: KeptReplies, clock: Clock) -> None:
    half = bytes(UNACKED_SIZE // 2)
    for n in range(3):
        kept.add_unacked(QUEUE, name(str(n)), half, clock.now + 5)
    assert [its_name for its_name, _ in kept.unacked(QUEUE)] == [name("1"), name("2")]
    kept.add_unacked(QUEUE, name("2"), b"", clock.now + 5)  # in place of the one before
    kept.add_unacked(QUEUE, name("3"), half, clock.now + 5)
    assert len(kept.unacked(QUEUE)) == 3
