"""Requests that wait in a queue when its first server comes: only those still wanted are run."""

from __future__ import annotations

import asyncio

import pytest

from leveret import NoServer, Rabbit, Service, method
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate


class Ledger(Service):
    """Notes what ran."""

    def __init__(self) -> None:
        self.ran: list[int] = []

    @method(timeout=30)
    async def once(self, n: int) -> int:
        self.ran.append(n)
        return n

    @method(timeout=30, idempotent=True)
    async def again(self, n: int) -> int:
        self.ran.append(n)
        return n


QUEUE = "leveret.ledger.once"


@pytest.mark.parametrize("method", ["once", "again"])
async def test_a_request_whose_caller_was_told_no_server_is_not_run_later(
    client: Rabbit, host: Rabbit, raw: RawPeer, method: str
) -> None:
    ledger = Ledger()
    async with host.serving(ledger):
        pass
    call = getattr(client.remote(Ledger), method)
    for n in range(3):
        with pytest.raises(NoServer) as caught:
            await call(n)
        assert caught.value.executed == "no"
    queue = f"leveret.ledger.{method}"
    assert await raw.waiting(queue) == 3
    async with host.serving(ledger):
        assert await call(9) == 9
        await until_found(lambda: raw.waiting(queue), 0, "the old requests are gone")
        assert await call(10) == 10
    assert ledger.ran == [9, 10]


async def test_a_request_whose_caller_still_waits_is_run(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    ledger = Ledger()
    async with host.serving(ledger):
        pass
    waiting = client.remote(Ledger).with_options(wait_for_server=True)
    calls = [asyncio.create_task(waiting.once(n)) for n in range(5)]
    await until_found(lambda: raw.waiting(QUEUE), 5, "all wait")
    async with host.serving(ledger), at_once():
        assert await asyncio.gather(*calls) == [0, 1, 2, 3, 4]
    assert sorted(ledger.ran) == [0, 1, 2, 3, 4]


async def test_a_request_whose_caller_is_gone_is_dropped(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    ledger = Ledger()
    async with host.serving(ledger):
        pass
    raw.request("ledger.once", b'{"n":1}', reply_to="leveret.reply.of-nobody")
    await until_found(lambda: raw.waiting(QUEUE), 1, "it waits")
    async with host.serving(ledger) as server:
        await until(lambda: not server.calls(), "the server has given up asking")
        assert await client.remote(Ledger).once(2) == 2
    assert ledger.ran == [2]
    assert await raw.waiting(QUEUE) == 0


@pytest.mark.parametrize("waits", [True, False])
async def test_an_old_request_of_an_idempotent_method_is_not_run_where_its_caller_says_nothing(
    host: Rabbit, raw: RawPeer, waits: bool
) -> None:
    """Its client may have been told that nobody ran it, and be gone. If not, it sends it again."""
    ledger = Ledger()
    async with host.serving(ledger):
        pass
    await raw.listen()
    raw.request("ledger.again", b'{"n":1}', headers={"waits": True} if waits else None)
    await until_found(lambda: raw.waiting("leveret.ledger.again"), 1, "it waits")
    async with host.serving(ledger):
        kinds = [(await raw.reply()).properties.type for _ in range(2)]
        failure = await raw.failure()
    assert kinds == ["claim", "claim"]
    assert (failure["code"], failure["type"]) == ("CANCELLED", "Unconfirmed")
    assert failure["executed"] == "no"
    assert ledger.ran == []


async def test_a_copy_of_an_old_request_is_not_run_where_its_caller_says_nothing(
    host: Rabbit, raw: RawPeer
) -> None:
    """Its caller may have been told that nobody ran it before any server had it."""
    ledger = Ledger()
    async with host.serving(ledger):
        await raw.listen()
        raw.request("ledger.again", b'{"n":1}', headers={"attempt": 1, "old": True})
        assert (await raw.reply()).properties.type == "claim"
        failure = await raw.failure()
    assert (failure["code"], ledger.ran) == ("CANCELLED", [])


async def test_a_server_that_gives_an_old_request_on_says_that_it_is_old(
    host: Rabbit, raw: RawPeer
) -> None:
    """It stops before the caller has said whether it still waits."""
    async with host.serving(Ledger()):
        pass
    queue = "leveret.ledger.again"
    await raw.listen()
    raw.request("ledger.again", b'{"n":1}')
    await until_found(lambda: raw.waiting(queue), 1, "it waits")
    async with host.serving(Ledger(), grace=0):
        assert (await raw.reply()).properties.type == "claim"
    copy = await (await raw.take(queue)).get()
    assert (copy.redelivered, (copy.properties.headers or {}).get("old")) == (False, True)


async def test_a_caller_that_says_it_waits_no_more_is_believed(host: Rabbit, raw: RawPeer) -> None:
    ledger = Ledger()
    async with host.serving(ledger):
        pass
    await raw.listen()
    raw.request("ledger.once", b'{"n":1}')
    await until_found(lambda: raw.waiting(QUEUE), 1, "it waits")
    async with host.serving(ledger) as server:
        question = await raw.reply()
        assert question.properties.type == "claim"
        raw.control(question.properties.reply_to or "", "cancel", correlation_id="raw-1")
        failure = await raw.failure()
        assert (failure["code"], failure["executed"]) == ("CANCELLED", "no")
        await until(lambda: not server.calls(), "nothing runs")
    assert ledger.ran == []


async def test_a_caller_that_lost_the_question_with_its_connection_is_asked_again(
    host: Rabbit, raw: RawPeer
) -> None:
    ledger = Ledger()
    async with host.serving(ledger):
        await raw.listen()
        raw.request("ledger.again", b'{"n":1}', headers={"attempt": 1})
        lost, question = await raw.reply(), await raw.reply()
        assert (lost.properties.type, question.properties.type) == ("claim", "claim")
        raw.control(question.properties.reply_to or "", "cancel", correlation_id="raw-1")
        failure = await raw.failure()
    assert (failure["code"], ledger.ran) == ("CANCELLED", [])


async def test_the_callers_of_what_runs_for_long_are_told_so(host: Rabbit, raw: RawPeer) -> None:
    gate = Gate()
    async with host.serving(gate):
        await raw.listen()
        raw.request("gate.once", b'{"n":1}')
        assert await gate.started.get() == 1
        word = await raw.reply()
        assert (word.properties.type, word.properties.correlation_id) == ("accepted", "raw-1")
        gate.opened.set()
        assert (await raw.reply()).properties.type == "result"
