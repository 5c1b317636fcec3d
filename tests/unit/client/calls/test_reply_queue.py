"""The reply queue on one connection after the other: ghosts, nodes that are down, other users."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Delivery
from leveret.client.calls.reply_queue import ReplyQueue
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError, PermissionDenied
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection

NO_SUCH_QUEUE = ChannelClosed(404, "NOT_FOUND - no queue")
DOWN = ChannelClosed(404, "NOT_FOUND - home node of durable queue is down or inaccessible")
FORBIDDEN = ChannelClosed(403, "ACCESS_REFUSED - to queue")


class Line:
    """A connection and its channels. Probes find what `found` has; its last one stays."""

    def __init__(self, *found: int | LeveretError, user: str = "alice") -> None:
        self.user = user
        self.found = list(found)
        self.probed: list[str] = []
        self.deleted: list[str] = []
        self.channels = 0
        self.abandoned = 0
        self.confirms: LeveretError | None = None

    async def open_channel(self) -> Line:
        self.channels += 1
        return self

    async def select_confirms(self) -> None:
        if self.confirms is not None:
            raise self.confirms

    async def look_at_queue(self, name: str) -> methods.Queue.DeclareOk:
        self.probed.append(name)
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, LeveretError):
            raise found
        return methods.Queue.DeclareOk(queue=name, message_count=0, consumer_count=found)

    async def call(self, method: methods.Queue.Delete) -> None:
        self.deleted.append(method.queue)

    async def close(self) -> None:
        pass

    def abandon(self) -> None:
        self.abandoned += 1


class There:
    def __init__(self) -> None:
        self.names = 0
        self.consumed: list[str] = []
        self.refused: list[LeveretError] = []
        self.renamed: list[tuple[str, str]] = []
        self.queue = ReplyQueue(
            name_for=self._name,
            consume=self._consume,
            on_delivery=lambda _delivery: None,
            on_renamed=lambda error: self.renamed.append((self.queue.name, str(error))),
        )

    def _name(self, user: str) -> str:
        self.names += 1
        return f"{user}.{self.names}"

    async def _consume(
        self, _channel: Channel, name: str, _on_delivery: Callable[[Delivery], None]
    ) -> None:
        if self.refused:
            raise self.refused.pop(0)
        self.consumed.append(name)

    async def open(self, line: Line, *, again: bool = True) -> None:
        await self.queue.open(cast("Connection", line), again=again)


async def test_the_first_time_nothing_is_there_to_be_seen_to() -> None:
    there, line = There(), Line(0)
    assert (there.queue.name, there.queue.user) == ("", "")
    await there.open(line, again=False)
    assert (there.consumed, line.probed) == (["alice.1"], [])


async def test_a_queue_without_consumers_is_consumed_from_again() -> None:
    there, line = There(), Line(0)
    await there.open(line)
    assert (there.consumed, line.probed, line.deleted) == (["alice.1"], ["alice.1"], [])
    assert line.abandoned == 1  # the channel of the probe


async def test_a_ghost_is_waited_for_and_then_the_queue_is_made_anew() -> None:
    there = There()
    gone = Line(1, 1, 0)
    await there.open(gone)
    assert (len(gone.probed), gone.deleted) == (3, [])
    stays = Line(1)
    await there.open(stays)
    assert stays.deleted == ["alice.1"]
    assert there.renamed == []
    assert there.consumed == ["alice.1", "alice.1"]


async def test_a_queue_that_expired_is_declared_again_by_the_same_name() -> None:
    there = There()
    await there.open(Line(NO_SUCH_QUEUE))
    assert (there.consumed, there.renamed) == (["alice.1"], [])


async def test_a_queue_whose_node_is_down_is_replaced_and_those_who_wait_are_told_before() -> None:
    there = There()
    await there.open(Line(DOWN))
    assert there.consumed == ["alice.2"]
    ((name, why),) = there.renamed
    assert name == "alice.1"
    assert "down or inaccessible" in why


async def test_another_user_has_another_queue() -> None:
    there = There()
    await there.open(Line(0), again=False)
    await there.open(Line(FORBIDDEN, user="bob"))
    assert (there.consumed, there.queue.user) == (["alice.1", "bob.2"], "bob")
    await there.open(Line(0, user="bob"))
    assert there.consumed == ["alice.1", "bob.2", "bob.2"]


async def test_another_user_who_may_see_the_queue_and_not_consume_has_another_one_at_once() -> None:
    there, line = There(), Line(0, user="bob")
    await there.open(Line(0), again=False)
    there.refused = [PermissionDenied("not yours")]
    await there.open(line)
    assert (there.consumed, len(there.renamed)) == (["alice.1", "bob.2"], 1)


async def test_a_user_who_may_not_use_his_own_queue_is_told_so() -> None:
    there = There()
    there.refused = [PermissionDenied("no")]
    with pytest.raises(PermissionDenied):
        await there.open(Line(0))
    with pytest.raises(ChannelClosed):
        await there.open(Line(FORBIDDEN))
    assert there.renamed == []


async def test_a_connection_that_breaks_meanwhile_leaves_all_as_it_was() -> None:
    there, line = There(), Line(ConnectionLost("it broke"))
    with pytest.raises(ConnectionLost):
        await there.open(line)
    line.confirms = ConnectionLost("it broke")
    with pytest.raises(ConnectionLost):
        await there.open(line)
    assert (there.queue.name, there.renamed, there.consumed) == ("alice.1", [], [])
    assert str(there.queue) == "the reply queue alice.1"


async def test_a_queue_is_deleted_at_the_end_and_a_broken_connection_does_no_harm() -> None:
    there, line = There(), Line(0)
    await there.open(line, again=False)
    await there.queue.delete(cast("Connection", line))
    assert line.deleted == ["alice.1"]

    async def broken() -> Line:
        raise ConnectionLost("it broke")

    line.open_channel = broken  # type: ignore[method-assign]
    await there.queue.delete(cast("Connection", line))
