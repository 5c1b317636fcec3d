"""Deletes the demo's queues from a broker that is not the demo's own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from leveret.amqp import methods
from leveret.contract import Service, spec_of
from leveret.errors import ChannelClosed, LeveretError
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url


@asynccontextmanager
async def tidied(url: str, *services: type[Service], plain: str) -> AsyncIterator[None]:
    """Delete the services' queues at the end of the block, except those that existed before.

    :param plain: a queue that is served by the tutorial's protocol.
    """
    names = [method.queue_name for s in services for method in spec_of(s).methods.values()]
    async with _connection(url) as connection:
        ours = [name for name in (*names, plain) if not await _exists(connection, name)]
    try:
        yield
    finally:
        async with _connection(url) as connection:
            await _delete(connection, ours)


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Connection]:
    address = parse_url(url, os.environ)
    connection = await open_connection(address, name="demo", max_message_size=0)
    try:
        yield connection
    finally:
        await connection.close()


async def _exists(connection: Connection, name: str) -> bool:
    channel = await connection.open_channel()
    try:
        await channel.look_at_queue(name)
    except ChannelClosed:
        return False
    await channel.close()
    return True


async def _delete(connection: Connection, names: Sequence[str]) -> None:
    for name in names:
        channel = await connection.open_channel()
        try:
            await channel.call(methods.Queue.Delete(queue=name))
        except LeveretError:
            continue  # the user may not delete it, or it does not exist
        await channel.close()
