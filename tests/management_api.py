"""A server that answers as RabbitMQ's management API does, as far as Leveret asks it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["ManagementAPI", "management_api"]


class ManagementAPI:
    """What it answers, and what it was asked."""

    def __init__(self) -> None:
        self.queues: dict[str, list[dict[str, Any]]] = {"/": []}
        """By vhost."""
        self.user = "guest:guest"
        self.body: bytes | None = None
        """What it answers instead."""
        self.redirect = ""
        """Where it sends everybody instead."""
        self.asked = 0
        """How many requests it has got."""
        self.per_page: int | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Without its user."""
        return f"http://localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.asked += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        status, body = self._answer(
            head[0].split()[1],
            {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:])
            },
        )
        length = len(body)
        heads = f"HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n"
        if self.redirect:
            heads += f"Location: {self.redirect}\r\n"
        heads += "\r\n"
        writer.write(heads.encode() + body)
        await writer.drain()
        writer.close()

    def _answer(self, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() != self.user:
            return 401, b"{}"
        if self.redirect:
            return 302, b""
        if self.body is not None:
            return 200, self.body
        parts = urlsplit(target)
        vhost = unquote(parts.path.removeprefix("/api/queues/"))
        if vhost not in self.queues:
            return 404, b"{}"
        query = parse_qs(parts.query)
        size = self.per_page or int(query["page_size"][0])
        start = (int(query["page"][0]) - 1) * size
        listed = self.queues[vhost]
        page = {
            "items": listed[start : start + size],
            "page_count": max(-(-len(listed) // size), 1),
        }
        return 200, json.dumps(page).encode()


@asynccontextmanager
async def management_api() -> AsyncIterator[ManagementAPI]:
    """Serve one for the length of a block."""
    api = ManagementAPI()
    server = await asyncio.start_server(api.serve, "localhost", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
        await server.wait_closed()
