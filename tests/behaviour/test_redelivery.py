"""Requests whose server vanished: run again where that does no harm, else told to the caller."""

from __future__ import annotations

import asyncio

import msgspec
import pika
import pytest

import leveret
from leveret import (
    Busy,
    Code,
    DeadlineExceeded,
    MaybeExecuted,
    NoServer,
    Rabbit,
    Service,
    current_call,
    method,
)
from leveret.amqp.properties import Properties
from leveret.server.method import asking
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate


class Twice(Service):
    """Tells whether its request came a second time."""

    def __init__(self) -> None:
        self.ran = 0

    @method(timeout=30, idempotent=True)
    async def again(self) -> bool:
        self.ran += 1
        return current_call().redelivered

    @method(timeout=30)
    async def once(self) -> bool:
        self.ran += 1
        return current_call().redelivered


async def test_an_idempotent_call_is_run_again_when_its_server_vanished(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    twice = Twice()
    async with host.serving(Twice()):
        pass
    taken = await raw.take("leveret.twice.again")
    call = asyncio.create_task(client.remote(Twice).with_options(wait_for_server=True).again())
    await taken.get()
    async with host.serving(twice):
        raw.crash()
        assert await call is True
        assert await client.remote(Twice).again() is False
    assert twice.ran == 2


async def test_a_request_is_not_run_again_whose_caller_was_told_that_it_was_refused(
    client: Rabbit, host: Rabbit, raw: RawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server refused it, and vanished before it had acknowledged it."""
    monkeypatch.setattr(asking, "CONFIRM_WITHIN_WAITS", PATIENCE)  # on a busy machine too
    twice = Twice()
    async with host.serving(Twice()):
        pass
    taken = await raw.take("leveret.twice.again")
    call = asyncio.create_task(client.remote(Twice).with_options(wait_for_server=True).again())
    refusal = {"code": "RESOURCE_EXHAUSTED", "message": "no place", "executed": "no"}
    raw.answer(await taken.get(), msgspec.json.encode(refusal), type="error")
    with pytest.raises(Busy) as caught:
        await call
    assert caught.value.executed == "no"
    async with host.serving(twice):
        raw.crash()
        await until(lambda: client.calls.late == 1, "another server has answered it")
        assert twice.ran == 0
        assert await client.remote(Twice).again() is False


async def test_a_request_is_run_again_though_its_caller_does_not_say_that_it_waits(
    host: Rabbit, rabbitmq_url: str, raw: RawPeer
) -> None:
    """It may be cut off, and get its reply later."""
    twice = Twice()
    async with host.serving(Twice()):
        pass
    mortal = await RawPeer.open(rabbitmq_url)
    taken = await mortal.take("leveret.twice.again")
    await raw.listen()
    raw.request("twice.again", b"{}")
    await taken.get()
    async with host.serving(twice):
        mortal.crash()
        kinds = {(await raw.reply()).properties.type}
        while "result" not in kinds:
            kinds.add((await raw.reply()).properties.type)
    assert "claim" in kinds
    assert twice.ran == 1


async def test_another_call_is_not_run_again_when_its_server_vanished(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    twice = Twice()
    async with host.serving(Twice()):
        pass
    taken = await raw.take("leveret.twice.once")
    call = asyncio.create_task(client.remote(Twice).with_options(wait_for_server=True).once())
    await taken.get()
    async with host.serving(twice), at_once():
        raw.crash()
        with pytest.raises(MaybeExecuted, match="not idempotent") as caught:
            await call
        assert caught.value.executed == "maybe"
        assert caught.value.code == Code.ABORTED
        assert twice.ran == 0
        assert await client.remote(Twice).once() is False


async def test_running_calls_move_to_another_server_when_theirs_vanishes(
    client: Rabbit, mortal_host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Gate(), Gate()
    async with mortal_host.serving(one, grace=0):
        again = [asyncio.create_task(client.remote(Gate).again(n)) for n in range(3)]
        once = asyncio.create_task(client.remote(Gate).once(3))
        await until(lambda: one.started.qsize() == 4, "all run")
        async with other_host.serving(two):
            crash(mortal_host)
            with pytest.raises(MaybeExecuted):
                await once
            two.opened.set()
            assert await asyncio.gather(*again) == [0, 1, 2]
    assert sorted(two.ended) == [0, 1, 2]


async def test_a_running_call_whose_server_vanishes_is_never_said_not_to_have_run(
    client: Rabbit, mortal_host: Rabbit
) -> None:
    gate = Gate()
    async with mortal_host.serving(gate, grace=0):
        remote = client.remote(Gate).with_options(timeout=1.5)
        calls = [asyncio.create_task(remote.once(1)), asyncio.create_task(remote.again(2))]
        await until(
            lambda: client.calls.at_servers == 2,
            "the client hears that both run",
        )
        crash(mortal_host)
    for call in calls:
        async with at_once():
            with pytest.raises((NoServer, DeadlineExceeded)) as caught:
                await call
        assert caught.value.executed in {"maybe", "yes"}


async def test_a_request_that_a_server_rejects_may_have_been_executed(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Twice()):
        pass
    taken = await raw.take("leveret.twice.once")
    call = asyncio.create_task(client.remote(Twice).once())
    raw.reject(await taken.get())
    async with at_once():
        with pytest.raises(MaybeExecuted, match="rejected") as caught:
            await call
    assert caught.value.executed == "maybe"


# -- requests of strangers that come again ---------------------------------------------------------


async def test_one_that_is_too_large_is_answered_and_not_handed_on_for_ever(
    rabbitmq_url: str, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Twice()):
        pass
    mortal = await RawPeer.open(rabbitmq_url)
    taken = await mortal.take("leveret.twice.again")
    await raw.listen()
    raw.request("twice.again", b"1" * 2_000)
    await taken.get()
    async with (
        leveret.connect(rabbitmq_url, max_message_size=1_000) as small,
        small.serving(Twice()) as server,
    ):
        mortal.crash()
        assert (await raw.failure())["code"] == "RESOURCE_EXHAUSTED"
        await raw.flushed()
        assert raw.nothing_came()
        assert not server.calls()


async def test_one_that_cannot_be_published_again_is_given_up(
    rabbitmq_url: str, host: Rabbit, raw: RawPeer
) -> None:
    """Its redeliveries cannot be counted, so it could go round for ever."""

    def send() -> None:
        long_name = {"n" * 200: True}  # pamqp packs 128 bytes
        properties = pika.BasicProperties(
            reply_to=raw.reply_queue, correlation_id="stranger", headers=long_name
        )
        with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
            connection.channel().basic_publish("leveret", "twice.again", b"{}", properties)

    twice = Twice()
    async with host.serving(Twice()):
        pass
    mortal = await RawPeer.open(rabbitmq_url)
    taken = await mortal.take("leveret.twice.again")
    await raw.listen()
    await asyncio.to_thread(send)
    await taken.get()
    async with host.serving(twice):
        mortal.crash()
        failure = await raw.failure()
        assert (failure["code"], failure.get("executed", "maybe")) == ("ABORTED", "maybe")
    assert twice.ran == 0


async def test_a_count_that_its_sender_made_up_is_not_believed(
    host: Rabbit, rabbitmq_url: str, raw: RawPeer
) -> None:
    async with host.serving(Twice()):
        pass
    mortal = await RawPeer.open(rabbitmq_url)
    taken = await mortal.take("leveret.twice.again")
    await raw.listen()
    raw.request("twice.again", b"{}", headers={"x-delivery-count": 99})
    await taken.get()
    async with host.serving(Twice()):
        mortal.crash()
        while (reply := await raw.reply()).properties.type != "result":
            assert reply.properties.type == "claim"  # not answered: its caller may be cut off
    assert reply.body == b"true"


@pytest.mark.parametrize("correlation_id", ["1", None])
async def test_one_of_the_tutorials_is_not_answered_with_another_ones_reply(
    host: Rabbit, rabbitmq_url: str, raw: RawPeer, correlation_id: str | None
) -> None:
    """Its clients may use an id again, or none."""

    class Double(Service):
        @method(idempotent=True)
        async def double(self, n: int) -> int:
            return 2 * n

    def send(body: bytes) -> None:
        properties = Properties(reply_to=raw.reply_queue, correlation_id=correlation_id)
        raw.channel.publish("", "doubles", properties, body)

    await raw.listen()
    async with host.serving(Double(), plain={"doubles": "double.double"}) as server:
        send(b"1")
        assert (await raw.reply()).body == b"2"
        plain = server.subscriptions[-1]
        await plain.cancel()
        mortal = await RawPeer.open(rabbitmq_url)
        taken = await mortal.take("doubles")
        send(b"2")
        await taken.get()
        mortal.crash()
        await plain.start()
        assert (await raw.reply()).body == b"4"
        await raw.delete("doubles")


async def test_what_is_given_up_is_kept_in_a_queue_of_the_methods_name_where_there_is_one(
    rabbitmq_url: str, host: Rabbit, raw: RawPeer
) -> None:
    await raw.declare("twice.again", x_max_length=10)
    async with host.serving(Twice()):
        pass
    mortal = await RawPeer.open(rabbitmq_url)
    taken = await mortal.take("leveret.twice.again")
    await raw.listen()
    raw.request("twice.again", b"{}", headers={"attempt": 5})  # as if five servers had died of it
    await taken.get()
    async with host.serving(Twice()):
        mortal.crash()
        assert (await raw.failure())["code"] == "ABORTED"
    letters = await raw.take("twice.again")
    letter = await letters.get()
    assert letter.body == b"{}"
    assert (letter.properties.headers or {})["x-first-death-reason"] == "rejected"
    await raw.delete("twice.again")
