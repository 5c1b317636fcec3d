"""Messages that are larger than the broker takes, on brokers whose limit is low."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret import Busy, CallHandle, InvalidArgument, InvalidResult, Rabbit, Retry, Service, method
from leveret.broker import EmbeddedBroker, Limits
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.services import Echo, Gate

LIMIT = 100_000
LARGE = 2 * LIMIT
"""More than is sent together with other items, too."""

# RabbitMQ 3 looks at the first for each message; RabbitMQ 4 copies it into the second at its start.
SET_LIMIT = """\
application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0})"""


@pytest.fixture(
    params=["embedded", pytest.param("rabbitmq", marks=[pytest.mark.slow, pytest.mark.rabbitmq])]
)
async def small_broker(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a broker that takes messages of up to `LIMIT` bytes."""
    if request.param == "embedded":
        async with EmbeddedBroker(limits=Limits(max_message_size=LIMIT)) as broker:
            yield broker.url
        return
    own: RabbitMQ = request.getfixturevalue("own_rabbitmq")
    before = await asyncio.to_thread(own.evaluate, "application:get_env(rabbit, max_message_size)")
    await asyncio.to_thread(own.evaluate, SET_LIMIT.format(LIMIT))
    yield own.url
    await asyncio.to_thread(own.evaluate, SET_LIMIT.format(re.sub(r"\D", "", before)))


async def test_a_request_that_the_broker_does_not_take_is_refused_as_that_and_alone(
    small_broker: str,
) -> None:
    gate = Gate()
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(Echo(), gate),
    ):
        before = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        after = await _sent_together(client)
        gate.opened.set()
        assert await before == 1
        assert after == ["a", "b"]
        async with at_once():  # from now on without asking the broker
            channel = client.calls.channel
            with pytest.raises(Busy, match=f"its limit is {LIMIT}") as again:
                await client.remote(Echo).echo("x" * LIMIT)
        assert (again.value.executed, again.value.attempts) == ("no", 0)
        assert client.calls.channel is channel


class LargeOnce(Service):
    @method(once=True, timeout=30)
    async def make(self, size: int) -> str:
        return "x" * size


async def test_a_recorded_reply_that_the_broker_does_not_take_is_told_instead(
    small_broker: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(LargeOnce()),
    ):
        async with at_once():
            with pytest.raises(InvalidResult, match=f"its reply takes .* the {LIMIT} that the"):
                await client.remote(LargeOnce).make(LARGE)
        assert await client.remote(LargeOnce).make(1) == "x"
    assert caplog.text.count("the broker did not take a reply") == 1


async def test_a_started_call_whose_result_the_broker_does_not_take_is_told_of(
    small_broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    once = f"sqlite:///{tmp_path}/once.db"
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(LargeOnce(), once=once),
    ):
        make = client.remote(LargeOnce).make
        first = asyncio.ensure_future(_ended(await client.start(make, key="large")(LARGE)))
        refused = "the broker did not take an answer"
        await until(lambda: refused in caplog.text, "the broker closes the channel of answers")
        await until_found(lambda: _answering(client), 1, "the channel is restored")
        async with at_once():  # whoever asks from now on is told
            with pytest.raises(InvalidResult, match="or is more than the broker takes"):
                await client.attach(make, "large")
        first.cancel()
        await asyncio.wait((first,))
    assert caplog.text.count("the broker did not take an answer") == 1


class Large(Service):
    @method(idempotent=True, timeout=20)
    async def again(self, size: int) -> str:
        return "x" * size


async def test_a_reply_that_the_broker_does_not_take_is_told_instead(small_broker: str) -> None:
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(Large()),
    ):
        large = client.remote(Large)
        for _ in range(2):
            async with at_once():
                with pytest.raises(InvalidResult, match=f"more than the {LIMIT} that the broker"):
                    await large.again(LIMIT)
        assert await large.again(1) == "x"


class LargeItems(Service):
    def __init__(self) -> None:
        self.got: list[int] = []

    @method(timeout=60)
    async def give(self, *, size: int, ends: bool) -> AsyncIterator[str]:
        yield "a"
        yield "x" * size
        if not ends:
            await asyncio.Event().wait()
            yield "b"

    @method(timeout=60)
    async def take(self, items: AsyncIterator[str]) -> int:
        async for item in items:
            self.got.append(len(item))
        return len(self.got)

    @method(timeout=60)
    async def take_and_give(self, items: AsyncIterator[str], size: int) -> str:
        return "x" * size

    @method(timeout=60)
    async def answer(self) -> str:
        return "here"


@pytest.fixture
async def large_items(small_broker: str) -> AsyncIterator[tuple[LargeItems, LargeItems]]:
    """The remote, and what serves it."""
    service = LargeItems()
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(service),
    ):
        yield client.remote(LargeItems), service


async def uploaded(*sizes: int) -> AsyncIterator[str]:
    for size in sizes:
        yield "x" * size


async def test_an_item_that_the_broker_does_not_take_ends_its_stream_at_once(
    large_items: tuple[LargeItems, LargeItems], caplog: pytest.LogCaptureFixture
) -> None:
    remote, _ = large_items
    async with at_once():
        with pytest.raises(InvalidResult, match=f"item 2 takes more than the {LIMIT} bytes") as one:
            await _last(remote.give(size=LARGE, ends=True))
        with pytest.raises(InvalidResult, match=f"more than the {LIMIT} that the broker takes"):
            await _last(remote.give(size=LARGE, ends=False))  # without asking the broker
    assert one.value.executed == "yes"
    assert [await _last(remote.give(size=1, ends=True)), await remote.answer()] == ["x", "here"]
    assert caplog.text.count("the broker did not take a reply") == 1


async def test_a_handler_that_has_not_ended_is_cancelled_once_the_broker_does_not_take_an_item(
    large_items: tuple[LargeItems, LargeItems],
) -> None:
    remote, _ = large_items
    async with at_once():
        with pytest.raises(InvalidResult, match=f"more than the {LIMIT} bytes"):
            await _last(remote.give(size=LARGE, ends=False))


async def test_the_result_of_an_upload_that_the_broker_does_not_take_is_told_instead(
    large_items: tuple[LargeItems, LargeItems], caplog: pytest.LogCaptureFixture
) -> None:
    remote, _ = large_items
    async with at_once():
        with pytest.raises(InvalidResult, match=f"the result takes more than the {LIMIT} bytes"):
            await remote.take_and_give(uploaded(), LARGE)
    assert await remote.answer() == "here"
    assert caplog.text.count("the broker did not take a reply") == 1


async def test_an_uploaded_item_that_the_broker_does_not_take_ends_its_call_alone(
    large_items: tuple[LargeItems, LargeItems], caplog: pytest.LogCaptureFixture
) -> None:
    remote, service = large_items
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "a"
        await gate.wait()
        yield "bb"

    beside = asyncio.create_task(remote.take(slow()))
    await until(lambda: service.got == [1], "the other upload goes on")
    async with at_once():
        with pytest.raises(InvalidArgument, match=f"item 2 .* more than the {LIMIT} bytes") as one:
            await remote.take(uploaded(3, LARGE, 4))
        with pytest.raises(InvalidArgument, match=f"item 1 .* more than the {LIMIT} of") as two:
            await remote.take(uploaded(LARGE))  # without asking the broker
    gate.set()
    assert (one.value.executed, two.value.executed) == ("yes", "yes")
    assert await beside == len(service.got)
    assert service.got[-1] == 2
    assert caplog.text.count("the channel of uploads was closed") == 1


async def _answering(client: Rabbit) -> int:
    return len((await client.ping(LargeOnce)).servers)


async def _ended(handle: CallHandle[str]) -> str:
    return await handle


async def _last(items: AsyncIterator[str]) -> str:
    return [item async for item in items][-1]


async def _sent_together(client: Rabbit) -> list[str]:
    """The large request between two small ones."""
    echo = client.remote(Echo).with_options(timeout=20)
    large = client.remote(Echo).with_options(retry=Retry(attempts=3), timeout=20)
    first, refused, last = await asyncio.gather(
        echo.echo("a"), large.echo("x" * LIMIT), echo.echo("b"), return_exceptions=True
    )
    assert isinstance(refused, Busy)
    assert refused.executed == "no"
    assert refused.attempts == 1
    assert f"takes no message of {LIMIT + 11} bytes" in str(refused)
    assert f"larger than configured max size {LIMIT}" in str(refused)
    assert isinstance(first, str)
    assert isinstance(last, str)
    return [first, last]
