"""A cable between a client and a broker, which a test can cut, or freeze."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65_536


class TCPProxy:
    """Listens at `url` and passes all bytes on to the broker at another URL, and back."""

    def __init__(self, broker_url: str) -> None:
        self._parts = urlsplit(broker_url)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self.to_broker = 0
        """How many bytes were passed on to the broker."""
        self.cut_after: int | None = None
        """Cut the cable in the middle of what is sent, once so many bytes went to the broker."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        """The broker's URL, by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._parts._replace(netloc=f"guest:guest@127.0.0.1:{port}").geturl()

    def cut(self) -> None:
        """Break all connections, as a router does that restarts: both ends get a reset."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if not writer.transport.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.clear()
        self._flows.set()

    def freeze(self) -> None:
        """Pass nothing on any more, and take little: as a broker that hangs."""
        self._flows.clear()

    def thaw(self) -> None:
        """Pass on what waited, and all that comes."""
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._parts.hostname, self._parts.port or 5672
        from_broker, to_broker = await asyncio.open_connection(host, port)
        self._writers += (writer, to_broker)
        for source, target, counts in ((reader, to_broker, True), (from_broker, writer, False)):
            task = asyncio.create_task(self._pass_on(source, target, counts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counts: bool
    ) -> None:
        try:
            while data := await source.read(_CHUNK):
                await self._flows.wait()
                if target.is_closing():  # cut meanwhile
                    return
                if counts and self.cut_after is not None:
                    data = data[: max(0, self.cut_after - self.to_broker)]
                target.write(data)
                await target.drain()
                if counts:
                    self.to_broker += len(data)
                    if self.cut_after is not None and self.to_broker >= self.cut_after:
                        self.cut()
                        return
        except ConnectionError:
            pass  # the other direction tells
        finally:
            target.close()
