"""Two ends that talk by way of a `FaultProxy`: what goes in at one, and what comes out."""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType
from typing import NamedTuple, Self

from leveret.testing import FaultProxy

HEADER = b"AMQP\x00\x00\x09\x01"


def frame(kind: int, payload: bytes = b"", channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(class_id: int, method_id: int, arguments: bytes = b"", channel: int = 1) -> bytes:
    return frame(1, struct.pack(">HH", class_id, method_id) + arguments, channel)


HEARTBEAT = frame(8, channel=0)
PUBLISH = method(60, 40, b"exchange and key")
ACK = method(60, 80, b"tag")
CONTENT = frame(2, b"properties")
BODY = frame(3, b"body" * 10)
MESSAGE = PUBLISH + CONTENT + BODY


class End(NamedTuple):
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Returns when the kernel has nearly all of it."""
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def until_end(self) -> tuple[bytes, str]:
        """All that still comes, and how it ends: "finish" or "reset"."""
        data = bytearray()
        try:
            while more := await self.reader.read(65_536):
                data += more
        except ConnectionResetError:
            return bytes(data), "reset"
        return bytes(data), "finish"

    def reset(self) -> None:
        """Vanish as a killed process with unread bytes does."""
        self.writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Ends:
    """A broker that does nothing by itself, and clients of it through a proxy."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._accepted: asyncio.Queue[End] = asyncio.Queue()
        self._ends: list[End] = []
        self.proxy: FaultProxy

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()
        self.proxy = await FaultProxy(self.address).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        for end in self._ends:
            end.writer.transport.abort()
        await self.proxy.close()
        self._server.close()
        await self._server.wait_closed()
        assert not self.proxy.connections
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task of the proxy goes on"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = End(reader, writer)
        self._ends.append(end)
        self._accepted.put_nowait(end)

    async def dial(self) -> End:
        """A client alone."""
        end = End(*await asyncio.open_connection("127.0.0.1", self.proxy.port))
        self._ends.append(end)
        return end

    async def connect(self) -> tuple[End, End]:
        """A client, and its other end at the broker."""
        client = await self.dial()
        return client, await self._accepted.get()
