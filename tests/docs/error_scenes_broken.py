"""The failures that come from the broker itself, each on a broker that is there to be broken.

Nobody connects again here: these are the messages of who was told not to.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import leveret
from leveret.testing import RabbitMQ
from tests.docs.error_scenes import Stage
from tests.docs.error_services import Fibonacci, Shop

BrokenScene = Callable[[Stage, RabbitMQ], Awaitable[object]]
BROKEN_SCENES: dict[str, list[BrokenScene]] = defaultdict(list)
"""By the name of the error that ends them."""


def ends_with(error: str) -> Callable[[BrokenScene], None]:
    """Note a scene under the error that it raises."""
    return BROKEN_SCENES[error].append


@ends_with("Busy")
async def the_broker_blocks(on: Stage, broker: RabbitMQ) -> object:
    async with on.host.serving(Fibonacci()):
        fibonacci = on.client.remote(Fibonacci).with_options(wait_for_connection=False)
        await fibonacci.fib(1)
        await asyncio.to_thread(broker.block_publishers)
        try:
            while True:  # RabbitMQ tells a connection only once that publishes
                with suppress(leveret.DeadlineExceeded):
                    await fibonacci.with_options(timeout=0.2).fib(1)
        finally:
            await asyncio.to_thread(broker.unblock_publishers)


@ends_with("Busy")
async def larger_than_the_broker_takes(on: Stage, broker: RabbitMQ) -> object:
    async with on.host.serving(on.shop):
        setting = "application:{}_env(rabbit, max_message_size{})"
        before = await asyncio.to_thread(broker.evaluate, setting.format("get", ""))
        await asyncio.to_thread(broker.evaluate, setting.format("set", ", 1000"))
        try:
            async with leveret.connect(on.url) as client:
                return await client.remote(Shop).order("x" * 2000)
        finally:
            size = "".join(filter(str.isdigit, before))
            await asyncio.to_thread(broker.evaluate, setting.format("set", f", {size}"))


@ends_with("MaybeExecuted")
async def the_connection_broke_after_the_confirm(on: Stage, broker: RabbitMQ) -> object:
    return await _cut_off(on, broker, on.client.remote(Shop).pack(1))


@ends_with("ConnectionLost")
async def the_connection_broke(on: Stage, broker: RabbitMQ) -> object:
    return await _cut_off(on, broker, on.client.remote(Shop).count("carrot"))


@ends_with("ConnectionLost")
async def a_server_was_cut_off(on: Stage, broker: RabbitMQ) -> object:
    async with on.host.serving(on.shop) as server:
        await asyncio.to_thread(broker.close_connections, "maintenance")
        await server.failed
    return None


@ends_with("ConnectionClosed")
async def what_the_broker_said(on: Stage, broker: RabbitMQ) -> object:
    try:
        return await _cut_off(on, broker, on.client.remote(Shop).count("carrot"))
    except leveret.ConnectionLost as error:
        raise error.__cause__ or error from None


@ends_with("ChannelClosed")
async def no_right_to_a_control_queue(on: Stage, broker: RabbitMQ) -> object:
    own = r"^leveret\.(shop|reply)\..+$"
    for order in (("add_user", "shop", "secret"), ("set_permissions", "shop", own, ".*", ".*")):
        await asyncio.to_thread(broker.ctl, *order)
    async with (
        leveret.connect(on.url.replace("guest:guest", "shop:secret")) as rabbit,
        rabbit.serving(on.shop),
    ):
        return None


@ends_with("PermissionDenied")
async def a_user_with_too_few_channels(on: Stage, broker: RabbitMQ) -> None:
    for order in (
        ("add_user", "few", "secret"),
        ("set_permissions", "few", ".*", ".*", ".*"),
        ("set_user_limits", "few", '{"max-channels": 2}'),
    ):
        await asyncio.to_thread(broker.ctl, *order)
    async with leveret.connect(on.url.replace("guest:guest", "few:secret")) as rabbit:
        await rabbit.serve(on.shop)


async def _cut_off(on: Stage, broker: RabbitMQ, call: Any) -> object:
    async with on.host.serving(on.shop):
        calling = asyncio.create_task(call)
        await on.shop.packing.acquire()
        await asyncio.to_thread(broker.close_connections, "maintenance")
        try:
            return await calling
        finally:
            on.shop.packed.set()
