"""Every kind of failure, caused for real: what docs/errors.md shows of each, in the same order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import pika

import leveret
from leveret import Breaker, CurrentCall, Rabbit, Reconnect, Service, method
from leveret.once import RedisOnce
from leveret.testing import FaultProxy, Stall, before_frame
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until
from tests.behaviour.scripted_streams import scripted_server
from tests.docs.error_services import (
    Depot,
    Fibonacci,
    Forge,
    Lab,
    Line,
    Money,
    NewShop,
    Shop,
    Stock,
)
from tests.once.servers import RedisServer

T = TypeVar("T")


class Stage:
    """Where a scene plays: a client, a server's connection, and a way to break things."""

    def __init__(self, url: str, client: Rabbit, host: Rabbit) -> None:
        self.url = url
        self.client = client
        self.host = host
        self.shop = Shop()

    def take(self, queue: str, *, end: Callable[[Any, int], None]) -> None:
        """Be a server that takes one request and does `end` with it, then dies."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()
        taken = channel.basic_get(queue)[0]
        assert taken is not None, f"no request waits in {queue}"
        end(channel, taken.delivery_tag)
        connection.close()

    async def waits(self, queue: str, count: int = 1) -> None:
        """Return when so many requests wait in a queue."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()

        def as_many_wait() -> bool:
            found = channel.queue_declare(queue, passive=True).method
            return bool(found.message_count == count)

        await until(as_many_wait, f"{count} requests wait in {queue}")
        connection.close()


@asynccontextmanager
async def stage(url: str, *, reconnect: bool = True) -> AsyncIterator[Stage]:
    """A stage on this broker."""
    async with (
        leveret.connect(url, reconnect=reconnect) as client,
        leveret.connect(url, reconnect=reconnect) as host,
    ):
        yield Stage(url, client, host)


@asynccontextmanager
async def outage(on: Stage) -> AsyncIterator[Rabbit]:
    """A client that was connected and is no more, whose attempts to come back fail."""
    policy = Reconnect(first=0.01, most=0.01)
    async with FaultProxy(on.url) as proxy, leveret.connect(proxy.url, reconnect=policy) as client:
        proxy.refuse()
        proxy.cut()
        link = client.calls.link
        await until(lambda: "cannot connect" in str(link.failure), "an attempt fails")
        yield client


Scene = Callable[[Stage], Awaitable[object]]
SCENES: dict[str, list[Scene]] = defaultdict(list)
"""By the name of the error that ends them."""


def ends_with(error: str) -> Callable[[Scene], Scene]:
    """Note a scene under the error that it raises."""

    def note(scene: Scene) -> Scene:
        SCENES[error].append(scene)
        return scene

    return note


@ends_with("InvalidArgument")
async def refused_by_the_client(on: Stage) -> object:
    return await on.client.remote(Fibonacci).fib(-1)


@ends_with("InvalidArgument")
async def refused_by_the_server(on: Stage) -> object:
    async with on.host.serving(Fibonacci()):
        return await on.client.call("fibonacci.fib", n="thirty")


@ends_with("InvalidArgument")
async def refused_by_a_model(on: Stage) -> object:
    return await on.client.remote(Stock).add(Line.model_construct(sku="carrot", count=0))


@ends_with("InvalidArgument")
async def refused_by_a_hook(on: Stage) -> object:
    async with on.host.serving(Stock()):
        return await on.client.call("stock.sell", price="5 XXX")


@ends_with("InvalidArgument")
async def refused_by_a_hook_of_the_caller(on: Stage) -> object:
    empty = Money.__new__(Money)
    return await on.client.remote(Stock).sell(empty)


@ends_with("InvalidArgument")
async def an_array_of_another_dtype(on: Stage) -> object:
    return await on.client.remote(Lab).scale(np.array([1, 2]), by=2)


@ends_with("InvalidArgument")
async def an_array_of_objects(on: Stage) -> object:
    return await on.client.remote(Lab).scale(np.array(["a", None]), by=2)


@ends_with("InvalidArgument")
async def a_key_with_other_arguments(on: Stage) -> object:
    async with on.host.serving(Shop()):
        shop = on.client.remote(Shop).with_options(idempotency_key="a")
        await shop.buy("carrot", 1)
        return await shop.buy("carrot", 2)


@ends_with("InvalidArgument")
async def nothing_was_started(on: Stage) -> object:
    with TemporaryDirectory() as folder:
        async with on.host.serving(Shop(), once=f"sqlite:///{folder}/once.db"):
            return await on.client.attach(on.client.remote(Shop).buy, "order 17")


@ends_with("Unimplemented")
async def no_such_method(on: Stage) -> object:
    return await on.client.call("fibonacci.fob", n=30)


@ends_with("Unimplemented")
async def no_store_that_lasts(on: Stage) -> object:
    async with (
        leveret.connect(on.url, name="till") as host,
        host.serving(Shop()),
    ):
        return await on.client.start(on.client.remote(Shop).buy, key="a")("carrot", 1)


@ends_with("NoServer")
async def nobody_listens(on: Stage) -> object:
    async with on.host.serving(Fibonacci()):
        pass
    return await on.client.remote(Fibonacci).fib(30)


@ends_with("NoServer")
async def nobody_listens_to_a_call_that_does_not_wait(on: Stage) -> object:
    async with on.host.serving(Fibonacci()):
        pass
    return await on.client.remote(Fibonacci).with_options(if_busy="fail").fib(30)


@ends_with("NoServer")
async def nobody_listens_to_a_plain_queue(on: Stage) -> object:
    async with on.host.serving(Fibonacci(), plain={"rpc_queue": "fibonacci.fib"}):
        pass
    return await on.client.plain("rpc_queue").call(30)


@ends_with("NoServer")
async def the_server_of_a_plain_queue_dies(on: Stage) -> object:
    with pika.BlockingConnection(pika.URLParameters(on.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("rpc_queue", durable=True)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("rpc_queue", lambda *_: None)
        call = asyncio.create_task(on.client.plain("rpc_queue").call(30))
        await until(lambda: on.client.calls.sent == 1, "the request was sent")
    return await call


@ends_with("NoServer")
async def nobody_has_the_name(on: Stage) -> object:
    async with on.host.serving(Fibonacci()):
        return await on.client.ask_one(on.client.remote(Fibonacci).fib, "b47af560")(30)


@ends_with("CircuitOpen")
async def calls_failed_of_late(on: Stage) -> object:
    async with on.host.serving(Fibonacci()):
        pass
    breaker = Breaker(volume=2, reset=60, most=60)
    async with leveret.connect(on.url, breaker=breaker) as client:
        fibonacci = client.remote(Fibonacci).with_options(if_busy="fail")
        for _ in range(2):
            with suppress(leveret.NoServer):
                await fibonacci.fib(30)
        return await fibonacci.fib(30)


@ends_with("Busy")
async def all_are_busy(on: Stage) -> object:
    async with on.host.serving(on.shop):
        packing = asyncio.create_task(on.client.remote(Shop).pack(1))
        await on.shop.packing.acquire()
        try:
            return await on.client.remote(Shop).with_options(if_busy="fail").pack(2)
        finally:
            on.shop.packed.set()
            await packing


@ends_with("Busy")
async def another_came_first(on: Stage) -> object:
    async with (
        on.host.serving(on.shop),
        FaultProxy(on.url) as proxy,
        leveret.connect(proxy.url) as client,
    ):
        calls = [asyncio.create_task(on.client.remote(Shop).pack(1))]
        await on.shop.packing.acquire()
        looked = proxy.when(before_frame(1, "to_broker", kind="basic.publish"), Stall("to_broker"))
        hurried = asyncio.create_task(client.remote(Shop).with_options(if_busy="fail").pack(2))
        await looked.fired.wait()
        calls.append(asyncio.create_task(on.client.remote(Shop).pack(3)))
        await on.waits("leveret.shop.pack")
        proxy.resume()
        try:
            return await hurried
        finally:
            on.shop.packed.set()
            await asyncio.gather(*calls)


@ends_with("Busy")
async def the_queue_is_full(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    patient = on.client.remote(Shop).with_options(wait_for_server=True)
    waiting = set[asyncio.Task[int]]()
    try:
        while True:  # a quorum queue may take a few more than its length
            waiting.add(asyncio.create_task(patient.order("hay")))
            ended, _ = await asyncio.wait(waiting, timeout=0.1)
            if ended:
                return await ended.pop()
    finally:
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@ends_with("Busy")
async def too_many_in_flight(on: Stage) -> object:
    async with (
        on.host.serving(on.shop),
        leveret.connect(on.url, max_in_flight=1) as client,
    ):
        packing = asyncio.create_task(client.remote(Shop).pack(1))
        await on.shop.packing.acquire()
        try:
            return await client.remote(Shop).pack(2)
        finally:
            on.shop.packed.set()
            await packing


@ends_with("Busy")
async def too_large(on: Stage) -> object:
    async with leveret.connect(on.url, max_message_size=1000) as client:
        return await client.remote(Shop).order("x" * 2000)


@ends_with("Busy")
async def the_store_of_keys_is_out_of_reach(on: Stage) -> object:
    with RedisServer() as redis:
        store = RedisOnce(redis.url)
        async with on.host.serving(on.shop, once=store):
            redis.kill()
            return await on.client.remote(Shop).with_options(idempotency_key="a").buy("carrot", 1)


@ends_with("DeadlineExceeded")
async def late_in_the_queue(on: Stage) -> object:
    async with on.host.serving(on.shop):
        packing = asyncio.create_task(on.client.remote(Shop).pack(1))
        await on.shop.packing.acquire()
        try:
            return await on.client.remote(Shop).with_options(timeout=0.5).pack(2)
        finally:
            on.shop.packed.set()
            await packing


@ends_with("DeadlineExceeded")
async def late_in_the_handler(on: Stage) -> object:
    async with on.host.serving(on.shop):
        return await on.client.remote(Shop).with_options(timeout=0.5).pack(1)


@ends_with("DeadlineExceeded")
async def never_answered(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    mute = pika.BlockingConnection(pika.URLParameters(on.url))
    mute.channel().basic_consume("leveret.shop.pack", lambda *delivery: None)
    try:
        return await on.client.remote(Shop).with_options(timeout=0.5).pack(1)
    finally:
        mute.close()


@ends_with("DeadlineExceeded")
async def never_answered_after_its_handler_began(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    patient = on.client.remote(Shop).with_options(timeout=1, wait_for_server=True)
    packing = asyncio.create_task(patient.pack(1))
    await on.waits("leveret.shop.pack")
    with pika.BlockingConnection(pika.URLParameters(on.url)) as hanging:
        channel = hanging.channel()
        _, request, _ = channel.basic_get("leveret.shop.pack")
        word = pika.BasicProperties(type="accepted", correlation_id=request.correlation_id)
        channel.basic_publish("", request.reply_to, b"", word)
        return await packing


@ends_with("DeadlineExceeded")
async def not_sent_in_time(on: Stage) -> object:
    async with outage(on) as client:
        return await client.remote(Shop).with_options(timeout=0.5).count("carrot")


@ends_with("Cancelled")
async def the_server_had_to_stop(on: Stage) -> object:
    async with on.host.serving(on.shop) as server:
        packing = asyncio.create_task(on.client.remote(Shop).pack(1))
        await on.shop.packing.acquire()
        await server.drain(grace=0)
        return await packing


@ends_with("Cancelled")
async def the_caller_was_not_heard(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    async with FaultProxy(on.url) as proxy, leveret.connect(proxy.url) as client:
        remote = client.remote(Shop).with_options(wait_for_server=True)
        packing = asyncio.create_task(remote.pack(1))
        await on.waits("leveret.shop.pack")
        proxy.stall("to_client")
        async with on.host.serving(on.shop) as server:
            await until(lambda: bool(server.calls()), "the server asks")
            await until(lambda: not server.calls(), "it has asked in vain")
            proxy.resume()
            return await packing


@ends_with("MaybeExecuted")
async def the_server_died(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    packing = asyncio.create_task(on.client.remote(Shop).with_options(wait_for_server=True).pack(1))
    await on.waits("leveret.shop.pack")
    on.take("leveret.shop.pack", end=lambda channel, tag: None)
    async with on.host.serving(on.shop):
        return await packing


@ends_with("MaybeExecuted")
async def the_request_was_given_up(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    packing = asyncio.create_task(on.client.remote(Shop).with_options(wait_for_server=True).pack(1))
    await on.waits("leveret.shop.pack")
    on.take("leveret.shop.pack", end=lambda channel, tag: channel.basic_reject(tag, requeue=False))
    return await packing


@ends_with("MaybeExecuted")
async def it_killed_one_server_after_the_other(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    patient = on.client.remote(Shop).with_options(wait_for_server=True)
    counting = asyncio.create_task(patient.count("carrot"))
    while not counting.done():
        shop = Shop()
        async with (
            leveret.connect(on.url, reconnect=False) as mortal,
            mortal.serving(shop, grace=0),
        ):
            begun = asyncio.create_task(shop.packing.acquire())
            await asyncio.wait((begun, counting), return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
            crash(mortal)
        await asyncio.gather(begun, return_exceptions=True)
    return await counting


@ends_with("MaybeExecuted")
async def a_key_that_only_a_dead_server_knows(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    keyed = on.client.remote(Shop).with_options(wait_for_server=True, idempotency_key="parcel 1")
    packing = asyncio.create_task(keyed.pack(1))
    await on.waits("leveret.shop.pack")
    on.take("leveret.shop.pack", end=lambda channel, tag: None)
    async with on.host.serving(on.shop):
        return await packing


@ends_with("StreamBroken")
async def the_server_of_a_stream_stops(on: Stage) -> object:
    async with scripted_server(on.url) as server:
        stream = on.client.stream("feed.watch", a=1)
        first = asyncio.ensure_future(anext(stream))
        server.end(await server.request(), 0, moved=True)
        return await first


@ends_with("ConnectionLost")
async def no_broker(on: Stage) -> object:
    return await leveret.connect("amqp://guest:guest@localhost:1/")


@ends_with("ConnectionLost")
async def closed_by_this_side(on: Stage) -> object:
    fibonacci = on.client.remote(Fibonacci)
    await on.client.close()
    return await fibonacci.fib(30)


@ends_with("ConnectionLost")
async def not_sent_during_an_outage(on: Stage) -> object:
    async with outage(on) as client:
        return await client.remote(Shop).with_options(wait_for_connection=False).count("carrot")


@ends_with("PermissionDenied")
async def no_such_vhost(on: Stage) -> object:
    return await leveret.connect(on.url.rpartition("/")[0] + "/nowhere")


@ends_with("PermissionDenied")
async def forbidden_by_a_rule(on: Stage) -> object:
    async with on.host.serving(on.shop, allow={"shop": ["shop-*"]}):
        return await on.client.remote(Shop).buy("carrot", 1)


@ends_with("PermissionDenied")
async def forbidden_by_the_handler(on: Stage) -> object:
    async with on.host.serving(on.shop):
        return await on.client.remote(Shop).empty_the_till()


@ends_with("Unauthenticated")
async def wrong_password(on: Stage) -> object:
    return await leveret.connect(on.url.replace("guest:guest", "guest:wrong"))


@ends_with("RemoteError")
async def the_handler_raised(on: Stage) -> object:
    async with on.host.serving(on.shop):
        return await on.client.remote(Shop).buy("turnip", 1)


@ends_with("RemoteError")
async def the_tasks_of_the_handler_raised(on: Stage) -> object:
    async with on.host.serving(Depot()):
        return await on.client.remote(Depot).restock()


@ends_with("RemoteError")
async def the_fields_of_a_declared_error_do_not_fit(on: Stage) -> object:
    async with on.host.serving(on.shop):
        return await on.client.remote(Shop).weigh("carrot")


@ends_with("RemoteError")
async def a_middleware_raised_before_the_handler(on: Stage) -> object:
    async def audit(call: CurrentCall, call_next: object) -> object:
        raise OSError("the audit log is full")

    async with on.host.serving(on.shop, middleware=[audit]):
        return await on.client.remote(Shop).buy("carrot", 1)


@ends_with("RemoteError")
async def the_worker_process_died(on: Stage) -> object:
    async with on.host.serving(Forge()):
        return await on.client.remote(Forge).hammer(9)


@ends_with("InvalidResult")
async def the_handler_returned_something_else(on: Stage) -> object:
    async with on.host.serving(on.shop):
        return await on.client.remote(Shop).price("carrot")


@ends_with("InvalidResult")
async def the_reply_does_not_fit(on: Stage) -> object:
    async with on.host.serving(NewShop()):
        return await on.client.remote(Shop).buy("carrot", 1)


@ends_with("DeclaredError")
async def declared(on: Stage) -> object:
    async with on.host.serving(on.shop):
        return await on.client.remote(Shop).buy("carrot", 5)


@ends_with("ContractError")
async def no_annotation(on: Stage) -> object:
    class Broken(Service):
        @method
        async def fib(self, n) -> int:  # type: ignore[no-untyped-def]
            return int(n)

    return Broken


@ends_with("ContractError")
async def a_type_variable_of_nobody(on: Stage) -> object:
    class Echo(Service):
        @method
        async def echo(self, x: T) -> T:
            return x

    return Echo


@ends_with("InvalidURL")
async def no_number_for_a_port(on: Stage) -> object:
    return leveret.connect("amqp://guest:guest@localhost:rabbit/")


@ends_with("InvalidURL")
async def an_empty_url(on: Stage) -> object:
    return leveret.connect("")


@ends_with("TopologyError")
async def other_options(on: Stage) -> object:
    async with on.host.serving(on.shop):
        pass
    async with on.host.serving(NewShop()):
        return None


@ends_with("ProtocolError")
async def no_broker_at_all(on: Stage) -> object:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            return await leveret.connect(f"amqp://guest:guest@127.0.0.1:{port}/")
        except leveret.ConnectionLost as error:
            raise error.__cause__ or error from None
