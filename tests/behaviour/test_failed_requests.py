"""One-way requests that failed: kept with their errors, run again, or dropped."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

import leveret
from leveret import Rabbit, Reconnect, RemoteError, Service, Unimplemented, current_call, method
from leveret.amqp import methods
from leveret.amqp.events import Delivery
from leveret.client.failed_requests import FailedRequests
from leveret.errors import ChannelClosed
from leveret.server.subscription import Subscription
from leveret.testing import Cut, FaultProxy, after_frame
from leveret.wire.native.failed import Failure, read_failure
from tests.behaviour.cli_commands import Commands
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.users import Users
from tests.brokers import Broker

MORTAL = '''
import asyncio, os
from pathlib import Path
from leveret import Service, method

class Mortal(Service):
    """Does not live for long."""

    @method(one_way=True, keep_failed=True, timeout=60)
    async def deliver(self, letter: str) -> None:
        os.kill(os.getpid(), 9)

    @method(one_way=True, keep_failed=True, idempotent=True, timeout=60)
    async def carry(self, letter: str) -> None:
        Path("carries").touch()
        await asyncio.Event().wait()
'''
"""A service whose server is killed in a handler, by nobody who asks it."""


class Mortal(Service):
    """The same contract, which notes what it runs."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @method(one_way=True, keep_failed=True, timeout=60)
    async def deliver(self, letter: str) -> None:
        self.ran.append(letter)

    @method(one_way=True, keep_failed=True, idempotent=True, timeout=60)
    async def carry(self, letter: str) -> None:
        self.ran.append(letter)


class Safe(Service):
    """Keeps what failed in a queue that is on several nodes."""

    @method(one_way=True, keep_failed=True, queue="quorum")
    async def deliver(self, letter: str) -> None:
        raise ValueError(letter)


KEY = "post.deliver"
FAILED = f"leveret.{KEY}.failed"


class Post(Service):
    """Delivers letters, but for those that it cannot read."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()
        self.delivered: list[str] = []
        self.began = asyncio.Event()
        self.opened = asyncio.Event()

    @method(one_way=True, keep_failed=True, timeout=30)
    async def deliver(self, letter: str) -> None:
        if letter == "endless":
            self.began.set()
            await asyncio.Event().wait()
        if letter == "patient":
            await self.opened.wait()
        if letter in self.unreadable:
            raise ValueError(f"{letter!r} is torn")
        self.delivered.append(letter)

    @method(keep_failed=True, timeout=30, concurrency=1)
    async def weigh(self, letter: str) -> int:
        self.delivered.append(current_call().metadata.get("by", letter))
        return len(letter) if letter else 1 // 0

    @method(keep_failed=True, timeout=0.3)
    async def hang(self) -> None:
        await asyncio.Event().wait()


SOON = Reconnect(first=0.01, most=0.05)


@pytest.fixture
async def proxy(broker_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(broker_url) as made:
        yield made


@asynccontextmanager
async def failed_requests(rabbit: Rabbit, key: str = KEY) -> AsyncIterator[FailedRequests]:
    requests = await FailedRequests.open(rabbit.calls.connection, key)
    try:
        yield requests
    finally:
        await requests.close()


async def failed(rabbit: Rabbit, key: str = KEY) -> list[Delivery]:
    """What is in the queue of failed requests now."""
    async with failed_requests(rabbit, key) as requests:
        return [delivery async for delivery in requests.each()]


async def one_failed(rabbit: Rabbit, key: str = KEY) -> tuple[Delivery, Failure]:
    """The only failed request, once it is there."""
    found: list[Delivery] = []

    async def count() -> int:
        found[:] = await failed(rabbit, key)
        return len(found)

    await until_found(count, 1, "one request is kept")
    failure = read_failure(found[0].properties)
    assert failure is not None
    return found[0], failure


async def retry(rabbit: Rabbit) -> None:
    """Have one failed request run again; all that there are, and there is one."""
    retried = 0

    async def again() -> int:
        nonlocal retried
        async with failed_requests(rabbit) as requests:
            async for delivery in requests.each():
                await requests.retry(delivery)
                retried += 1
        return retried

    await until_found(again, 1, "one is retried")


async def until_none_is_kept(rabbit: Rabbit) -> None:
    async def count() -> int:
        return len(await failed(rabbit))

    await until_found(count, 0, "none is kept")


async def test_what_a_handler_raised_is_kept_with_its_request_and_runs_when_it_is_retried(
    client: Rabbit, host: Rabbit
) -> None:
    post = Post()
    post.unreadable = {"a"}
    async with host.serving(post) as server:
        remote = client.remote(Post).with_options(metadata={"by": "me"}, expires_in=600)
        await remote.deliver("a")
        delivery, failure = await one_failed(client)
        assert delivery.body == b'{"letter":"a"}'
        properties = delivery.properties
        assert properties.delivery_mode == 2
        assert (properties.expiration, properties.reply_to) == (None, None)
        assert sorted(properties.headers or ()) == ["failed", "metadata"]
        assert (failure.code, failure.type, failure.executed) == ("INTERNAL", "ValueError", "yes")
        assert (failure.message, failure.attempts) == ("'a' is torn", 1)
        assert failure.instance == server.instance
        await retry(client)

        async def attempts() -> list[int]:
            found = [read_failure(each.properties) for each in await failed(client)]
            return [each.attempts for each in found if each is not None]

        await until_found(attempts, [2], "it has failed again")
        post.unreadable.clear()
        await retry(client)
        await until(lambda: post.delivered == ["a"], "it is delivered")
        await until_none_is_kept(client)


async def test_failed_requests_can_be_dropped_and_those_that_were_looked_at_stay(
    client: Rabbit, host: Rabbit
) -> None:
    post = Post()
    post.unreadable = {"a", "b"}
    async with host.serving(post):
        remote = client.remote(Post)
        await remote.deliver("a")
        await one_failed(client)
        await remote.deliver("b")

    async def bodies() -> set[bytes | None]:
        return {delivery.body for delivery in await failed(client)}

    await until_found(bodies, {b'{"letter":"a"}', b'{"letter":"b"}'}, "both are kept")

    async def left_when_the_first_is_dropped() -> set[bytes | None]:
        async with failed_requests(client) as requests:
            async for delivery in requests.each():
                if delivery.body == b'{"letter":"a"}':
                    requests.drop(delivery)
        return await bodies()

    await until_found(left_when_the_first_is_dropped, {b'{"letter":"b"}'}, "one is left")
    with pytest.raises(Unimplemented, match="keep_failed=True") as caught:
        await failed(client, "post.nothing")
    assert caught.value.method == "post.nothing"


async def test_looking_again_and_again_loses_nothing_and_holds_no_more_than_it_asks_for(
    client: Rabbit, host: Rabbit
) -> None:
    """RabbitMQ 4 drops what comes back to a quorum queue for the 21st time, unless it is told."""
    looks: list[int] = []

    async def look() -> int:
        requests = await FailedRequests.open(client.calls.connection, "safe.deliver", prefetch=1)
        try:
            found = [delivery async for delivery in requests.each()]
            if requests.count == 2:
                looks.append(len(found))
        finally:
            await requests.close()
        return len(looks)

    async with host.serving(Safe()):
        for letter in ("a", "b"):
            await client.send(client.remote(Safe).deliver)(letter)
        await until_found(look, 25, "it was looked at 25 times, and both were there")
        assert set(looks) == {1}
        left = 2

        async def drop_all() -> int:
            nonlocal left
            requests = await FailedRequests.open(
                client.calls.connection, "safe.deliver", prefetch=1
            )
            try:
                async for delivery in requests.each():
                    requests.drop(delivery)
                    left -= 1
            finally:
                await requests.close()
            return left

        await until_found(drop_all, 0, "who takes one away gets the next")


WITHOUT_LIMIT: Final = {"x-queue-type": "quorum", "x-delivery-limit": -1}
WITH_THE_BROKERS: Final = {"x-queue-type": "quorum"}


@pytest.mark.parametrize(
    ("version", "wanted", "other"),
    [
        ("3.13.7", WITH_THE_BROKERS, WITHOUT_LIMIT),
        ("4.0.5", WITHOUT_LIMIT, WITH_THE_BROKERS),
        ("10.1.0-rc.1", WITHOUT_LIMIT, WITH_THE_BROKERS),
        (None, WITH_THE_BROKERS, WITHOUT_LIMIT),
    ],
)
async def test_a_queue_of_failed_requests_has_no_limit_where_the_broker_would_set_one(
    host: Rabbit,
    raw: RawPeer,
    version: str | None,
    wanted: dict[str, Any],
    other: dict[str, Any],
) -> None:
    host.calls.connection.server_properties["version"] = version
    async with host.serving(Safe()):
        await raw.channel.declare_queue("leveret.safe.deliver.failed", arguments=wanted)
        with pytest.raises(ChannelClosed, match="x-delivery-limit"):
            await raw.channel.declare_queue("leveret.safe.deliver.failed", arguments=other)


async def test_a_queue_of_failed_requests_that_has_the_brokers_limit_stays_as_it_is(
    client: Rabbit, host: Rabbit, raw: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    queue = "leveret.safe.deliver.failed"
    await raw.channel.declare_queue(queue, arguments=WITH_THE_BROKERS)
    host.calls.connection.server_properties["version"] = "4.0.5"
    async with host.serving(Safe()):
        await client.send(client.remote(Safe).deliver)("a")

        async def kept() -> int:
            return (await raw.channel.look_at_queue(queue)).message_count or 0

        await until_found(kept, 1, "the failed request is kept")
    assert 'set the policy {"delivery-limit": -1} for it' in caplog.text


async def test_requests_that_are_not_fit_to_run_or_run_for_too_long_are_kept(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Post()):
        raw.request(KEY, b'{"parcel":1}')
        _, failure = await one_failed(client)
        assert (failure.code, failure.executed) == ("INVALID_ARGUMENT", "no")
        await client.send(client.remote(Post).with_options(timeout=30).hang)()
        _, failure = await one_failed(client, "post.hang")
        assert failure.code == "DEADLINE_EXCEEDED"


async def test_a_request_that_may_not_be_sent_by_its_user_is_kept_in_that_users_name(
    client: Rabbit, host: Rabbit, broker: Broker
) -> None:
    name = f"stranger-{secrets.token_hex(4)}"  # users are the whole broker's
    async with (
        host.serving(Post(), allow={"post": ["guest"]}),
        Users(broker).connect(name) as stranger,
    ):
        await stranger.remote(Post).deliver("a")
        delivery, failure = await one_failed(client)
        assert (failure.code, failure.executed) == ("PERMISSION_DENIED", "no")
        assert (delivery.properties.headers or {})["on-behalf-of"] == name
        assert delivery.properties.user_id == "guest"


async def test_what_has_expired_and_what_somebody_waits_for_is_not_kept(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    post = Post()
    async with host.serving(post):
        raw.request("post.weigh", b'{"letter":"a"}', headers={"deadline": 1_000})
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            await client.remote(Post).weigh("")
        await client.send(client.remote(Post).weigh)("last")
        await until(lambda: post.delivered == ["", "last"], "the last one has run")
    assert await failed(client, "post.weigh") == []


async def test_a_request_whose_server_died_is_kept_unless_it_may_run_twice(
    client: Rabbit, host: Rabbit, rabbitmq_url: str
) -> None:
    dying = Post()
    async with leveret.connect(rabbitmq_url) as other, other.serving(dying, grace=0):
        await client.remote(Post).deliver("endless")
        await dying.began.wait()
        async with host.serving(Post()):
            crash(other)
            delivery, failure = await one_failed(client)
            assert (failure.code, failure.executed) == ("ABORTED", "maybe")
            assert delivery.body == b'{"letter":"endless"}'


async def test_a_queue_of_failed_requests_that_somebody_deleted_is_declared_again(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    post = Post()
    post.unreadable = {"a"}
    async with host.serving(post):
        await raw.channel.call(methods.Queue.Delete(queue=FAILED))
        await client.remote(Post).deliver("a")

        async def kept() -> int:
            try:
                return len(await failed(client))
            except Unimplemented:
                return -1

        await until_found(kept, 1, "the queue is there again, with the request")


async def test_a_retry_that_breaks_in_the_middle_loses_nothing_and_its_key_runs_once(
    client: Rabbit, host: Rabbit, raw: RawPeer, broker_url: str
) -> None:
    post = Post()
    post.unreadable = {"a"}
    async with host.serving(post):
        await client.remote(Post).with_options(idempotency_key="letter 1").deliver("a")
        _, failure = await one_failed(client)
        assert failure.key == "letter 1"
        post.unreadable.clear()

        async def ready() -> int | None:
            return (await raw.channel.look_at_queue(FAILED)).message_count

        await until_found(ready, 1, "nobody looks at it any more")
        async with (
            FaultProxy(broker_url) as proxy,
            leveret.connect(proxy.url) as cut,
            failed_requests(cut) as requests,
        ):
            taken = await anext(requests.each())
            # The broker has the copy, and nobody hears so.
            proxy.when(after_frame(1, "to_broker", kind="body"), Cut())
            with pytest.raises(leveret.ConnectionLost):
                await requests.retry(taken)
        await one_failed(client)
        await retry(client)
        await until(lambda: bool(post.delivered), "it is delivered")
        await client.remote(Post).deliver("after")
        await until(lambda: "after" in post.delivered, "what came after it is delivered")
        assert post.delivered == ["a", "after"]
        await until_none_is_kept(client)


async def test_a_key_runs_a_one_way_request_once(client: Rabbit, host: Rabbit) -> None:
    post = Post()
    async with host.serving(post):
        keyed = client.remote(Post).with_options(idempotency_key="letter 1")
        await keyed.deliver("a")
        await keyed.deliver("a")
        await client.remote(Post).deliver("b")
        await until(lambda: "b" in post.delivered, "the last one is delivered")
        assert post.delivered == ["a", "b"]


async def test_a_server_that_is_killed_in_its_handler_loses_no_one_way_request(
    client: Rabbit, host: Rabbit, tmp_path: Path, rabbitmq_url: str
) -> None:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        (tmp_path / "mortal.py").write_text(MORTAL)
        await commands.serve("mortal:Mortal")
        remote = client.remote(Mortal)
        await remote.carry("a")
        await until((tmp_path / "carries").exists, "the idempotent one runs")
        await remote.deliver("b")
        mortal = Mortal()
        async with host.serving(mortal):
            _, failure = await one_failed(client, "mortal.deliver")
            assert (failure.code, failure.executed) == ("ABORTED", "maybe")
            await until(lambda: mortal.ran == ["a"], "the other one runs again")


def _finished(queue: Subscription) -> int:
    """How many requests of a queue were settled."""
    return 0 if queue.source is None else queue.source.finished


async def test_a_server_whose_connection_breaks_knows_what_it_runs_and_what_it_has_run(
    client: Rabbit, raw: RawPeer, proxy: FaultProxy
) -> None:
    post = Post()
    async with (
        leveret.connect(proxy.url, reconnect=SOON) as other,
        other.serving(post) as server,
    ):
        remote = client.remote(Post)
        proxy.stall("to_broker")  # so that no acknowledgement arrives
        await remote.deliver("done")
        await until(lambda: post.delivered == ["done"], "the first has run")
        await remote.deliver("patient")
        await until(lambda: len(server.calls()) == 1, "the second runs")
        proxy.cut()
        proxy.resume()
        (queue,) = (queue for queue in server.subscriptions if queue.spec.key == KEY)
        await until(lambda: server.calls()[0].incoming.redelivered, "the second comes again")
        await until(lambda: _finished(queue) == 2, "the first comes again, and is acknowledged")
        post.opened.set()
        await until(lambda: _finished(queue) == 3, "the second has run")

    async def waiting() -> int | None:
        return (await raw.channel.look_at_queue("leveret.post.deliver")).message_count

    await until_found(waiting, 0, "both are acknowledged")
    await until_none_is_kept(client)
    assert post.delivered == ["done", "patient"]
