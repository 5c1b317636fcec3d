"""When a server looks after its exchanges and bindings, and what it binds."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from leveret.errors import ChannelClosed, LeveretError, PermissionDenied
from leveret.server import topology
from leveret.server.topology import TopologyCheck
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.link import Link
from tests.behaviour.patience import until


class Queue:
    def __init__(self, name: str, bound: list[str]) -> None:
        self.name = name
        self.is_missing = False
        self._bound = bound

    def __str__(self) -> str:
        return self.name

    async def bind(self, channel: Channel) -> None:
        if self.is_missing:
            channel.closed = ChannelClosed(404, f"no queue '{self.name}'")
            raise channel.closed
        self._bound.append(self.name)


class Line:
    """A channel that may be closed."""

    closed: LeveretError | None = None

    def abandon(self) -> None:
        """It is let go."""


class There:
    """A link with a connection, and queues."""

    def __init__(self, others: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.connection = self
        self.closed: LeveretError | None = None
        self.blocked = ""
        self.refusal: LeveretError | None = None
        self.checks = 0
        self.channels = 0
        self.bound: list[str] = []
        self.queues = [Queue(name, self.bound) for name in ("control", *map(str, range(others)))]
        self.check = TopologyCheck(
            cast("Link", self), restore=self._restore, queues=lambda: self.queues
        )
        self.check.start()

    async def open_channel(self) -> Line:
        self.channels += 1
        return Line()

    async def _restore(self, _connection: Connection) -> None:
        self.checks += 1
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "CHECKED_EVERY", 0.001)
    monkeypatch.setattr(topology, "_ASKED_EVERY", 0.001)


async def test_the_control_queue_is_bound_each_time_and_the_others_take_turns() -> None:
    there = There(12)
    await until(lambda: there.checks >= 3, "it checks")
    await there.check.close()
    assert there.bound[:23] == [
        "control",
        *map(str, range(10)),
        "control",
        "10",
        "11",
        *map(str, range(8)),
        "control",
    ]


async def test_a_client_that_asks_has_all_bound_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(topology, "CHECKED_EVERY", 60.0)
    there = There(25)
    there.check.ask()
    there.check.ask()
    await until(lambda: len(there.bound) == 26, "all are bound")
    await there.check.close()
    assert there.checks == 1
    assert len([m for m in caplog.messages if "do not reach their queue" in m]) == 1


async def test_a_queue_that_is_missing_does_not_keep_the_others_from_being_bound() -> None:
    there = There(2)
    there.queues[1].is_missing = True
    await until(lambda: there.checks >= 2, "it checks")
    await there.check.close()
    assert there.bound[:2] == ["control", "1"]
    assert there.channels >= 2


async def test_what_cannot_be_restored_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    there = There(1)
    there.refusal = PermissionDenied("the exchange 'leveret' may not be declared")
    await until(lambda: there.checks >= 3, "it tries again")
    assert len([m for m in caplog.messages if "cannot be restored" in m]) == 1
    there.refusal = None
    await until(lambda: "0" in there.bound, "and succeeds")
    await there.check.close()


async def test_a_connection_that_is_gone_or_blocked_is_not_checked() -> None:
    there = There(1)
    there.blocked = "memory"
    await asyncio.sleep(0.01)
    assert there.checks == 0
    there.blocked = ""
    await until(lambda: there.checks > 0, "it goes on")
    await there.check.close()
    await TopologyCheck(cast("Link", there), restore=there._restore, queues=list).close()
