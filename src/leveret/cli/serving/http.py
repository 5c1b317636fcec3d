"""A tiny HTTP server, for those who monitor: it answers GET and HEAD for a few paths.

One request a connection, no bodies of requests, no keep-alive. What strangers send may cost little:
a head has a bound of bytes and of seconds, and so has a client that does not read, and there is a
bound of clients (RFC 9112, sections 3 and 9.6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Self, cast

from msgspec import Struct

__all__ = ["Answer", "HttpServer", "Request", "Response", "read_head"]

log = logging.getLogger("leveret.cli")

_MOST_CLIENTS: Final = 64
"""How many connections there may be. A further one takes the place of the one that has asked
nothing for longest, so those that stay silent keep no probe out. Where all have asked, the further
one is dropped.
"""
_LARGEST_HEAD: Final = 16 * 1024
"""Bytes of a request."""
_HEAD_WITHIN: Final = 5.0
"""Seconds that a client has to send its request."""
_ANSWER_WITHIN: Final = 30.0
"""Seconds for making an answer, and for the client to read it."""
_LINGER: Final = 1.0
"""Seconds to read on what a client still sends: else its system drops our answer."""
_END: Final = b"\r\n\r\n"


class Request(Struct, frozen=True, kw_only=True):
    """What a client asks for."""

    method: str
    """Its verb, as in "GET"."""
    path: str
    """What it asks for, without the query."""
    accept: str = ""
    """The formats that it takes."""


class Response(Struct, frozen=True, kw_only=True):
    """What it gets."""

    status: HTTPStatus = HTTPStatus.OK
    """How it went."""
    body: bytes = b""
    """The content."""
    content_type: str = "text/plain; charset=utf-8"
    """Its format."""
    allow: str = ""
    """The verbs that there are, where this one is not."""

    def packed(self, *, with_body: bool) -> bytes:
        """As bytes."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
            *([f"Allow: {self.allow}"] if self.allow else []),
        ]
        return "\r\n".join(lines).encode("latin-1") + _END + (self.body if with_body else b"")


Answer = Callable[[Request], Awaitable[Response]]
"""Answers requests for one path."""


def read_head(head: bytes) -> Request | None:
    """What a request asks for, by its head; None if it is none of HTTP/1."""
    first, *fields = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        return None
    accept = []
    for field in fields:
        name, colon, value = field.partition(":")
        if field and (not colon or not name or name != name.strip()):
            return None
        if name.lower() == "accept":
            accept.append(value.strip())
    return Request(method=words[0], path=words[1].partition("?")[0], accept=", ".join(accept))


class HttpServer:
    """Answers at one endpoint.

    :param answers: who answers for which path.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = dict(answers)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._silent: dict[asyncio.Task[None], asyncio.StreamWriter] = {}  # the oldest first

    @classmethod
    async def start(cls, host: str, port: int, answers: Mapping[str, Answer]) -> Self:
        """Listen.

        :param port: 0 for a free one.
        :raises OSError: if it cannot.
        """
        server = cls(answers)
        server._server = await asyncio.start_server(
            server._connected, host, port, limit=_LARGEST_HEAD
        )
        return server

    @property
    def port(self) -> int:
        """The port that it listens at."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and drop those who are there."""
        if self._server is not None:
            self._server.close()
        for silent in self._silent.values():
            silent.transport.abort()
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _MOST_CLIENTS and not self._has_made_room():
            writer.transport.abort()
            return
        client = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(client)
        self._silent[client] = writer
        client.add_done_callback(self._left)

    def _has_made_room(self) -> bool:
        """Drop the client that has asked nothing for longest; False if all have asked."""
        client = next(iter(self._silent), None)
        if client is None:
            return False
        self._silent.pop(client).transport.abort()  # a task that is cancelled early never begins
        client.cancel()
        return True

    def _left(self, client: asyncio.Task[None]) -> None:
        self._clients.discard(client)
        self._silent.pop(client, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, whatever it is."""
        try:
            with suppress(OSError, EOFError, TimeoutError):
                request, response = await self._answered(reader)
                async with asyncio.timeout(_ANSWER_WITHIN):
                    with_body = request is None or request.method != "HEAD"
                    writer.write(response.packed(with_body=with_body))
                    await writer.drain()
                    writer.write_eof()
                async with asyncio.timeout(_LINGER):
                    while await reader.read(_LARGEST_HEAD):
                        pass
        finally:
            writer.transport.abort()

    async def _answered(self, reader: asyncio.StreamReader) -> tuple[Request | None, Response]:
        """The request, if it can be read, and what its client gets.

        :raises OSError, EOFError, TimeoutError: if its client goes, or sends none.
        """
        try:
            async with asyncio.timeout(_HEAD_WITHIN):
                head = await reader.readuntil(_END)
            self._silent.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)
        except asyncio.LimitOverrunError:
            return None, _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        request = read_head(head.removesuffix(_END))
        if request is None:
            return None, _refusal(HTTPStatus.BAD_REQUEST)
        if request.method not in {"GET", "HEAD"}:
            return request, _refusal(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
        answer = self._answers.get(request.path)
        if answer is None:
            there_is = ", ".join(sorted(self._answers))
            return request, _refusal(HTTPStatus.NOT_FOUND, f"; there is {there_is}")
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                return request, await answer(request)
        except Exception:
            log.exception("%s cannot be answered", request.path)
            return request, _refusal(HTTPStatus.INTERNAL_SERVER_ERROR)


def _refusal(status: HTTPStatus, more: str = "", *, allow: str = "") -> Response:
    text = f"{status.value} {status.phrase}{more}\n"
    return Response(status=status, body=text.encode(), allow=allow)
