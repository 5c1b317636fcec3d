"""Calls to and from programs of the RabbitMQ tutorial's kind, on a named queue."""

from __future__ import annotations

import asyncio
import logging

import pytest

from leveret import ContractError, NoServer, PlainQueue, Rabbit
from leveret.amqp import methods
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate

QUEUE = "rpc_queue"


async def test_a_call_without_a_server_leaves_nothing_for_one_that_comes_later(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    gate.opened.set()
    await raw.declare(QUEUE)
    async with at_once():
        with pytest.raises(NoServer, match="no server listens, 0 requests waiting") as caught:
            await client.plain(QUEUE, timeout=60).call(1)
    assert (caught.value.executed, caught.value.attempts) == ("no", 0)
    assert await raw.waiting(QUEUE) == 0
    async with host.serving(gate, plain={QUEUE: "gate.once"}):
        assert await client.plain(QUEUE, result=int).call(2) == 2
    assert gate.ended == [2]


async def test_a_request_that_stays_behind_when_its_server_dies_may_be_executed(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    """A server that comes later does not ask whether anybody waits: it runs the request."""
    gate = Gate()
    gate.opened.set()
    await raw.declare(QUEUE)
    taken = await raw.take(QUEUE)
    call = asyncio.create_task(client.plain(QUEUE, timeout=60).call(1))
    await taken.get()
    raw.crash()
    async with at_once():
        with pytest.raises(NoServer, match="stays there until its timeout ends") as caught:
            await call
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 1)
    async with host.serving(gate, plain={QUEUE: "gate.again"}):
        await until(lambda: gate.ended == [1], "the later server runs it")


async def test_a_plain_call_waits_for_a_server_when_told_to(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    gate.opened.set()
    await raw.declare(QUEUE)
    patient = client.plain(QUEUE, result=int, wait_for_server=True)
    call = asyncio.create_task(patient.call(1))
    await until_found(lambda: raw.waiting(QUEUE), 1, "the request waits")
    async with host.serving(gate, plain={QUEUE: "gate.once"}):
        assert await call == 1


async def test_a_plain_call_has_the_priority_that_it_is_given(client: Rabbit, raw: RawPeer) -> None:
    await raw.declare(QUEUE, x_max_priority=2)
    patient = client.plain(QUEUE, wait_for_server=True)
    calls = [
        asyncio.create_task(patient.with_options(priority=priority).call(priority))
        for priority in (0, 1, 2)
    ]
    await until_found(lambda: raw.waiting(QUEUE), 3, "all wait")
    taken = await raw.take(QUEUE)
    order = [(await taken.get()) for _ in calls]
    assert [request.body for request in order] == [b"2", b"1", b"0"]
    for request in order:
        raw.answer(request, request.body or b"")
    assert await asyncio.gather(*calls) == ["0", "1", "2"]


# -- our server, for their clients -------------------------------------------------------------

THEIRS = methods.Queue.Declare(queue=QUEUE, durable=False, arguments={"x-max-length": 7})
"""As the program of some tutorial declares it."""


async def test_a_plain_queue_is_declared_as_their_clients_declare_it(
    host: Rabbit, raw: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.server")
    plain = PlainQueue(method="gate.once", durable=False, arguments={"x-max-length": 7})
    async with host.serving(Gate(), plain={QUEUE: plain}):
        await raw.channel.call(THEIRS)  # and does not die
    assert "'rpc_queue': it was not there, and was declared: not durable, x-max-length=7" in (
        caplog.text
    )
    async with host.serving(Gate(), plain={QUEUE: plain}):
        assert "'rpc_queue': it was there, with the options that plain= gives it" in caplog.text


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ("gate.once", "it was there, and is taken as it is"),
        (
            PlainQueue(method="gate.once", durable=True),
            "taken as it is, though PRECOND",
        ),
    ],
)
async def test_a_plain_queue_that_is_there_is_taken_as_it_is(
    client: Rabbit,
    host: Rabbit,
    raw: RawPeer,
    caplog: pytest.LogCaptureFixture,
    plain: str | PlainQueue,
    said: str,
) -> None:
    gate = Gate()
    gate.opened.set()
    caplog.set_level(logging.INFO, "leveret.server")
    await raw.channel.call(THEIRS)
    async with host.serving(gate, plain={QUEUE: plain}):
        assert await client.plain(QUEUE, result=int).call(1) == 1
    assert caplog.text.count(said) == 1


async def test_a_plain_queue_that_is_missing_is_durable_where_nothing_else_is_said(
    host: Rabbit, raw: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.server")
    async with host.serving(Gate(), plain={QUEUE: "gate.once"}):
        await raw.declare(QUEUE)
        with pytest.raises(ChannelClosed, match="durable"):
            await raw.channel.call(THEIRS)
    assert "it was not there, and was declared: durable" in caplog.text


@pytest.mark.parametrize("failed", ["text", "empty", "dead-letter"])
async def test_a_caller_of_a_failed_plain_request_gets_what_the_server_chose(
    host: Rabbit, raw: RawPeer, failed: str
) -> None:
    gate = Gate()
    await raw.declare("dead")
    await raw.listen()
    plain = PlainQueue(
        method="gate.once",
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
        failed=failed,  # type: ignore[arg-type]
    )
    async with host.serving(gate, plain={QUEUE: plain}) as server:

        def request(body: bytes, expiration: str | None = None) -> None:
            properties = Properties(
                reply_to=raw.reply_queue, correlation_id=body.decode(), expiration=expiration
            )
            raw.channel.publish("", QUEUE, properties, body)

        request(b"bad")  # it cannot be read
        request(b"1", expiration="400")  # it is too late
        await gate.started.get()
        await until(lambda: gate.cancelled == [1], "its handler is cancelled")
        gate.opened.set()
        request(b"2")  # it succeeds
        if failed == "dead-letter":
            await until_found(lambda: raw.waiting("dead"), 2, "both are dead letters")
        else:
            bodies = [(await raw.reply()).body or b"" for _ in range(2)]
            assert [bool(body) for body in bodies] == [failed == "text"] * 2
        reply = await raw.reply()
        assert (reply.properties.correlation_id, reply.body) == ("2", b"2")
        assert raw.nothing_came()
        await until(lambda: not server.calls(), "all are settled")
        assert await raw.waiting(QUEUE) == 0
        assert await raw.waiting("dead") == (2 if failed == "dead-letter" else 0)


def test_there_are_three_ways_to_fail() -> None:
    with pytest.raises(ContractError, match="text, empty, dead-letter"):
        PlainQueue(method="gate.once", failed="silence")  # type: ignore[arg-type]
