"""A server of a stream that a test plays itself, message by message, in whatever order it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from leveret.amqp.events import Delivery
from leveret.wire.native.topology import declare_exchanges
from tests.behaviour.patience import PATIENCE
from tests.behaviour.raw import RawPeer

QUEUE: Final = "leveret.feed.watch"


class ScriptedServer:
    """Takes requests of `feed.watch` and control messages, and sends what it is told to."""

    def __init__(self, peer: RawPeer, instance: str) -> None:
        self.name = f"feed.{instance}"
        self._peer = peer
        self._requests: asyncio.Queue[Delivery] = asyncio.Queue()
        self._uploads: asyncio.Queue[Delivery] = asyncio.Queue()
        self._control: asyncio.Queue[Delivery] = asyncio.Queue()

    async def start(self) -> None:
        channel = self._peer.channel
        await declare_exchanges(self._peer.connection)
        await channel.declare_queue(QUEUE, arguments={"x-dead-letter-exchange": ""})
        await channel.bind_queue(QUEUE, "leveret", "feed.watch")
        declared = await channel.declare_queue("", exclusive=True)
        own = declared.queue or ""
        for key in ("feed", self.name):
            await channel.bind_queue(own, "leveret.control", key)
        await channel.consume(own, self._control.put_nowait, no_ack=True)
        await channel.consume(QUEUE, self._requests.put_nowait, no_ack=True)

    async def take_uploads(self) -> None:
        """Have an inbox for the items of uploads."""
        channel = self._peer.channel
        inbox = (await channel.declare_queue("", exclusive=True)).queue or ""
        await channel.bind_queue(inbox, "leveret", f"feed.watch@{self.name.partition('.')[2]}")
        await channel.consume(inbox, self._uploads.put_nowait, no_ack=True)

    async def uploaded(self, kind: str = "") -> tuple[str | None, int, bytes | None]:
        """The next message of an upload: its type, number and body.

        :param kind: the type that it is to have; "": any but a sign of life.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                came = await self._uploads.get()
                properties = came.properties
                if properties.type == kind or (not kind and properties.type != "progress"):
                    return properties.type, (properties.headers or {})["n"], came.body

    async def request(self) -> Delivery:
        """The next request."""
        async with asyncio.timeout(PATIENCE):
            return await self._requests.get()

    async def control(self, kind: str) -> Delivery:
        """The next control message of this type; others before it are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self._control.get()
                if message.properties.type == kind:
                    return message

    async def credit(self, **wanted: Any) -> dict[str, Any]:
        """The headers of the next credit that has these among them."""
        while True:
            headers = (await self.control("credit")).properties.headers or {}
            if wanted.items() <= headers.items():
                return headers

    def items(self, request: Delivery, *numbers: int, **headers: Any) -> None:
        """Send items whose values are ten times their numbers."""
        for n in numbers:
            self.send(request, "item", n, msgspec.json.encode(10 * n), **headers)

    def end(self, request: Delivery, n: int, **headers: Any) -> None:
        self.send(request, "end", n, **headers)

    def fail(self, request: Delivery, n: int, code: str, executed: str = "yes") -> None:
        body = {"code": code, "message": "it failed", "executed": executed}
        self.send(request, "error", n, msgspec.json.encode(body))

    def send(self, request: Delivery, kind: str, n: int, body: bytes = b"", **headers: Any) -> None:
        self._peer.answer(request, body, type=kind, reply_to=self.name, headers={"n": n, **headers})

    def give(self, request: Delivery, *, got: int, upto: int, again: bool = False) -> None:
        """Give credit for an upload."""
        headers: dict[str, Any] = {"got": got, "upto": upto, "bytes": 1024**2}
        if again:
            headers["again"] = True
        self._peer.answer(request, b"", type="credit", reply_to=self.name, headers=headers)

    def answer(self, request: Delivery, body: bytes) -> None:
        """Answer as a server that does not stream."""
        self._peer.answer(request, body)

    async def stop_listening(self) -> None:
        """Go away as a server that was killed."""
        self._peer.crash()


@asynccontextmanager
async def scripted_server(url: str, instance: str = "s1") -> AsyncIterator[ScriptedServer]:
    """A server on a connection of its own."""
    peer = await RawPeer.open(url)
    server = ScriptedServer(peer, instance)
    await server.start()
    try:
        yield server
    finally:
        await peer.close()
