"""Failed requests are kept, and acknowledged after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from leveret.amqp.properties import Properties
from leveret.backoff import Backoff
from leveret.contract import MethodSpec, spec_of
from leveret.errors import CallError, ConnectionLost, LeveretError
from leveret.server import failed_requests
from leveret.server.failed_requests import FailedRequests
from leveret.transport.channel import Channel
from leveret.transport.confirmed import Outcome
from tests.behaviour.patience import until
from tests.unit.server.calls.making import Answers, Desk, call

SPEC: MethodSpec = spec_of(Desk).methods["work"]


class Broker:
    """A connection to a broker that does with each message what it is told to."""

    frame_max = 4096

    def __init__(self, *outcomes: Outcome | LeveretError) -> None:
        self.outcomes = list(outcomes)
        self.kept: list[tuple[str, Properties]] = []
        self.declared: list[str] = []
        self.opened = 0
        self.is_open = True

    async def open_channel(self) -> Channel:
        return cast("Channel", self)

    async def select_confirms(self) -> None:
        self.opened += 1

    async def declare_queue(self, name: str, *, arguments: dict[str, Any]) -> None:
        self.declared.append(name)

    def abandon(self) -> None:
        """Of the channel that declared."""

    async def close(self) -> None:
        self.is_open = False

    async def publish(
        self, exchange: str, key: str, properties: Properties, body: bytes
    ) -> Outcome:
        self.kept.append((key, properties))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, LeveretError):
            raise outcome
        return outcome


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[Broker], FailedRequests]:
    class Publisher:
        @staticmethod
        async def open(connection: Broker) -> Broker:
            connection.opened += 1
            return connection

    monkeypatch.setattr(failed_requests, "ConfirmedPublisher", Publisher)
    monkeypatch.setattr(failed_requests, "_PAUSES", Backoff(first=0, most=0))

    def make(broker: Broker) -> FailedRequests:
        return FailedRequests(asyncio.get_running_loop(), lambda: broker, instance="b47af560")

    return make


async def test_a_request_is_acknowledged_once_its_failed_copy_is_confirmed(
    made: Callable[[Broker], FailedRequests], caplog: pytest.LogCaptureFixture
) -> None:
    lost = ConnectionLost("the test ends it")
    broker = Broker(Outcome.UNROUTED, lost, Outcome.REFUSED, Outcome.TAKEN)
    keeper, answers = made(broker), Answers()
    keeper.keep(SPEC, call("1", answers=answers), CallError("it broke"), "key 1")
    await keeper.kept()
    assert answers.sent == [("ack", 1)]
    assert [key for key, _ in broker.kept] == ["leveret.desk.work.failed"] * 4
    assert (broker.kept[0][1].headers or {})["failed"]["key"] == "key 1"
    assert broker.declared == ["leveret.desk.work.failed"]
    assert broker.opened == 1
    assert "cannot be kept in leveret.desk.work.failed" in caplog.text
    await keeper.close()
    assert not broker.is_open


async def test_a_request_whose_channel_has_ended_is_left_to_who_gets_it_next(
    made: Callable[[Broker], FailedRequests],
) -> None:
    refusing = Broker(*[Outcome.REFUSED] * 1_000_000)
    keeper, answers = made(refusing), Answers()
    keeper.keep(SPEC, call("1", answers=answers), CallError("it broke"), "")
    await until(lambda: len(refusing.kept) > 2, "it is tried again")
    answers.is_open = False
    await keeper.kept()
    assert answers.sent == []


async def test_a_server_that_ends_leaves_what_is_not_kept_to_the_broker(
    made: Callable[[Broker], FailedRequests],
) -> None:
    refusing = Broker(*[Outcome.REFUSED] * 1_000_000)
    keeper, answers = made(refusing), Answers()
    keeper.keep(SPEC, call("1", answers=answers), CallError("it broke"), "")
    await until(lambda: len(refusing.kept) > 2, "it is tried again")
    await keeper.close()
    assert answers.sent == []
