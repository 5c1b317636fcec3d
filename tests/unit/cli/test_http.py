"""The HTTP server for those who monitor: what it answers, and what strangers cannot do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leveret.cli.serving import http
from leveret.cli.serving.http import HttpServer, Request, Response, read_head
from tests.behaviour.patience import PATIENCE, until


async def echo(request: Request) -> Response:
    return Response(body=f"{request.path} {request.accept}".encode())


async def fail(_request: Request) -> Response:
    raise ZeroDivisionError


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpServer]:
    monkeypatch.setattr(http, "_LINGER", PATIENCE)
    answers = {"/echo": echo, "/fail": fail}
    server = await HttpServer.start("127.0.0.1", 0, answers)
    yield server
    await server.close()


async def ask(server: HttpServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


def test_a_head_is_read_as_far_as_it_matters() -> None:
    request = read_head(b"GET /echo?a=b HTTP/1.1\r\nHost: here\r\nACCEPT: a/b\r\naccept:c/d")
    assert request == Request(method="GET", path="/echo", accept="a/b, c/d")


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"GET", b"GET / HTTP/2", b"GET /  HTTP/1.1", b"GET http://there/ HTTP/1.1"),
        *(b"GET / HTTP/1.1\r\nno colon", b"GET / HTTP/1.1\r\nAccept : text/plain", b"\x16\x03\x01"),
        b"GET / HTTP/1.1\r\n folded: line",
    ],
)
def test_what_is_no_request_is_none(head: bytes) -> None:
    assert read_head(head) is None


async def gone(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends a connection without a word."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_path_is_answered(server: HttpServer) -> None:
    found = await ask(server, b"GET /echo HTTP/1.1\r\nAccept: text/plain\r\n\r\n")
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 16" in head
    assert body == b"/echo text/plain"


async def test_a_head_alone_has_no_body(server: HttpServer) -> None:
    found = await ask(server, b"HEAD /echo HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 6" in found
    assert found.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", b"404 Not Found; there is /echo, /fail"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", b"405 Method Not Allowed"),
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET /fail HTTP/1.1\r\n\r\n", b"500 Internal Server Error"),
        (b"GET /echo HTTP/1.1\r\nX: " + bytes(1_000_000), b"431 "),
    ],
)
async def test_what_cannot_be_answered_is_refused_and_the_next_is_served(
    server: HttpServer, request_: bytes, status: bytes
) -> None:
    assert status in await ask(server, request_)
    assert b"200 OK" in await ask(server, b"GET /echo HTTP/1.1\r\n\r\n")


async def test_who_sends_too_slowly_is_dropped(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_HEAD_WITHIN", 0.01)
    assert await ask(server, b"GET /echo HT") == b""


async def test_who_reads_too_slowly_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def large(_request: Request) -> Response:
        monkeypatch.setattr(http, "_ANSWER_WITHIN", 0.01)  # from now on
        asked.set()
        return Response(body=bytes(64 * 1024 * 1024))

    server = await HttpServer.start("127.0.0.1", 0, {"/large": large})
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /large HTTP/1.1\r\n\r\n")
    await asked.wait()
    await until(lambda: not server._clients, "it is dropped")
    writer.transport.abort()
    await server.close()


async def test_who_asks_nothing_makes_room_for_others(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_MOST_CLIENTS", 2)
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
    assert b"200 OK" in await ask(server, b"GET /echo HTTP/1.1\r\n\r\n")
    assert b"200 OK" in await ask(server, b"GET /echo HTTP/1.1\r\n\r\n")
    await until(lambda: len(server._clients) <= 2, "those who asked nothing are dropped")
    assert await gone(silent[0][0])
    for _, writer in silent:
        writer.transport.abort()


async def test_too_many_clients_are_dropped_and_those_who_are_there_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_MOST_CLIENTS", 1)
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        asked.set()
        await may_answer.wait()
        return Response(body=b"here")

    server = await HttpServer.start("127.0.0.1", 0, {"/slow": slow})
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /slow HTTP/1.1\r\n\r\n")
    await asked.wait()
    further, other = await asyncio.open_connection("127.0.0.1", server.port)
    assert await gone(further)
    may_answer.set()
    assert (await reader.read()).endswith(b"here")
    for one in (writer, other):
        one.transport.abort()
    await server.close()


async def test_clients_are_dropped_when_it_closes() -> None:
    server = await HttpServer.start("127.0.0.1", 0, {})
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: len(server._clients) == 1, "a client is there")
    await server.close()
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass
    writer.transport.abort()
