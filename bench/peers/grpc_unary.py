"""grpc.aio, unary calls over one channel; there is no broker, the client talks to the server.

Generic handlers with decimal text and plain bytes as bodies stand in for generated code, so no
protobuf is compiled. What protobuf would cost is left out, in gRPC's favour.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from ..load import Calls

SERVICE = "bench.Bench"
TIMEOUT = 30.0  # seconds: a deadline on every call, as ours have
LIMITS = [
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
]


def _encode(n: int) -> bytes:
    return b"%d" % n


async def _increment(n: int, _: Any) -> int:
    return n + 1


async def _echo(body: bytes, _: Any) -> bytes:
    return body


@asynccontextmanager
async def serving(_: str) -> AsyncIterator[str]:
    """Serve on a free port of the loopback interface."""
    server = grpc.aio.server(options=LIMITS)
    unary = grpc.unary_unary_rpc_method_handler
    methods = {
        "Increment": unary(_increment, request_deserializer=int, response_serializer=_encode),
        "Echo": unary(_echo),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(grace=None)


class UnaryClient:
    """Both methods, on one channel."""

    def __init__(self, channel: Any) -> None:
        self._increment = channel.unary_unary(
            f"/{SERVICE}/Increment", request_serializer=_encode, response_deserializer=int
        )
        self._echo = channel.unary_unary(f"/{SERVICE}/Echo")

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        result: int = await self._increment(n, timeout=TIMEOUT)
        return result

    async def echo(self, body: bytes) -> bytes:
        """Return what the server sent back."""
        result: bytes = await self._echo(body, timeout=TIMEOUT)
        return result


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """A channel to the server."""
    async with grpc.aio.insecure_channel(address, options=LIMITS) as channel:
        await channel.channel_ready()
        yield UnaryClient(channel)
