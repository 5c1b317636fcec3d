"""Requests whose server vanished: run again where that does no harm, else told to the caller."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pika
import pytest

import leveret
from leveret import (
    Busy,
    CallEnd,
    Cancelled,
    Code,
    CurrentCall,
    DeadlineExceeded,
    MaybeExecuted,
    NoServer,
    Rabbit,
    ServerCallNext,
    Service,
    current_call,
    method,
)
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.server.method import asking
from leveret.testing import FaultProxy
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


class Failures:
    """The codes of the calls that failed."""

    def __init__(self) -> None:
        self.codes: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, call: CurrentCall, call_next: ServerCallNext) -> Any:
        return await call_next(call)

    def call_ended(self, call: CurrentCall, end: CallEnd) -> None:
        if end.error is not None:
            self.codes.put_nowait(end.error.code)


async def taken_from(host: Rabbit, raw: RawPeer, name: str) -> asyncio.Queue[Delivery]:
    """What a server takes of a method's requests that is about to vanish."""
    async with host.serving(Twice()):
        pass
    return await raw.take(f"leveret.twice.{name}")


async def test_an_idempotent_call_is_run_again_when_its_server_vanished(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    twice = Twice()
    taken = await taken_from(host, raw, "again")
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
    monkeypatch.setattr(asking, "CONFIRM_WITHIN", PATIENCE)  # on a busy machine too
    twice = Twice()
    taken = await taken_from(host, raw, "again")
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


async def test_a_request_is_not_run_again_whose_caller_does_not_say_that_it_waits(
    host: Rabbit, rabbitmq_url: str, raw: RawPeer
) -> None:
    """It may have been told that nobody ran it. If it was only cut off, it sends it again."""
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
        questions = [(await raw.reply()).properties.type for _ in range(2)]
        failure = await raw.failure()
        await raw_is_told_no_more_of_it(raw)
    assert questions == ["claim", "claim"]
    assert (failure["code"], failure["type"]) == ("CANCELLED", "Unconfirmed")
    assert "executed" not in failure  # maybe: the server that had it may have run it
    assert twice.ran == 1


async def raw_is_told_no_more_of_it(raw: RawPeer) -> None:
    """The refusal is not repeated to a client that asks what became of its calls.

    A client that has sent its request again would send it once more.
    """
    raw.request("twice.again", b"{}", correlation_id="raw-2")
    assert (await raw.reply()).properties.type == "result"
    raw.ask("twice", "raw-1")
    raw.ask("twice", "raw-2")
    assert (await raw.reply()).properties.correlation_id == "raw-2"
    assert raw.nothing_came()


UNCONFIRMED = {
    "code": "CANCELLED",
    "message": "its caller says nothing",
    "executed": "maybe",
    "type": "Unconfirmed",
}
"""What a server answers that asked a caller in vain."""


async def test_a_call_whose_client_was_not_heard_goes_out_again(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    taken = await taken_from(host, raw, "again")
    call = asyncio.create_task(client.remote(Twice).again())
    first = await taken.get()
    raw.answer(first, msgspec.json.encode(UNCONFIRMED), type="error")
    second = await taken.get()
    assert second.properties.correlation_id == first.properties.correlation_id
    raw.answer(second, b"true", type="result")
    assert await call is True


async def test_what_a_server_says_of_one_copy_of_a_call_that_was_not_heard_is_in_doubt(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    """The broker may have the first copy back, and another server may run it."""
    taken = await taken_from(host, raw, "again")
    call = asyncio.create_task(client.remote(Twice).again())
    raw.answer(await taken.get(), msgspec.json.encode(UNCONFIRMED), type="error")
    refusal = {"code": "RESOURCE_EXHAUSTED", "message": "no place", "executed": "no"}
    raw.answer(await taken.get(), msgspec.json.encode(refusal), type="error")
    with pytest.raises(Busy) as caught:
        await call
    assert caught.value.executed == "maybe"


async def test_another_call_whose_client_was_not_heard_is_not_sent_again(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    """The server that had it before may have run it."""
    taken = await taken_from(host, raw, "once")
    call = asyncio.create_task(client.remote(Twice).once())
    raw.answer(await taken.get(), msgspec.json.encode(UNCONFIRMED), type="error")
    with pytest.raises(Cancelled, match="says nothing") as caught:
        await call
    assert caught.value.executed == "maybe"
    assert taken.empty()


async def test_a_call_whose_client_hears_the_question_too_late_is_run_all_the_same(
    rabbitmq_url: str, host: Rabbit, raw: RawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "CONFIRM_WITHIN", 0.2)
    twice = Twice()
    taken = await taken_from(host, raw, "again")
    failures = Failures()
    async with FaultProxy(rabbitmq_url) as proxy, leveret.connect(proxy.url) as far:
        call = asyncio.create_task(far.remote(Twice).with_options(wait_for_server=True).again())
        await taken.get()
        async with host.serving(twice, middleware=[failures]):
            proxy.stall("to_client")
            raw.crash()
            async with asyncio.timeout(PATIENCE):
                assert await failures.codes.get() == "CANCELLED"
            proxy.resume()
            assert await call is False  # a new request, which no server had before
    assert twice.ran == 1


async def test_another_call_is_not_run_again_when_its_server_vanished(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    twice = Twice()
    taken = await taken_from(host, raw, "once")
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
    taken = await taken_from(host, raw, "once")
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
            assert reply.properties.type == "claim"
            raw.control(reply.properties.reply_to or "", "go", correlation_id="raw-1")
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
