"""Connections that cannot be made, and what their errors say and never say."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import socket
import traceback
from typing import Any
from urllib.parse import quote

import pytest

import leveret
from leveret import (
    CallError,
    Code,
    ConnectionLost,
    InvalidArgument,
    InvalidURL,
    PermissionDenied,
    Rabbit,
    Unauthenticated,
)
from leveret.transport.url import parse_url
from tests.addresses import resolve_to, swallows_syns
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once
from tests.behaviour.services import Echo


@pytest.fixture
def nobody() -> str:
    """A host and port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


def place(url: str) -> tuple[str, str]:
    """Host and port of a URL, and its path."""
    address = parse_url(url)
    host, port = address.hosts[0]
    return f"{host}:{port}", "" if address.vhost == "/" else quote(address.vhost, safe="")


async def failure(url: str) -> CallError:
    async with at_once():
        with pytest.raises(CallError) as caught:
            await leveret.connect(url)
    return caught.value


async def test_a_wrong_password_is_unauthenticated(rabbitmq_url: str) -> None:
    at, vhost = place(rabbitmq_url)
    error = await failure(f"amqp://guest:wrong@{at}/{vhost}")
    assert isinstance(error, Unauthenticated)
    assert error.code == Code.UNAUTHENTICATED
    assert error.executed == "no"
    assert "user 'guest'" in str(error)
    assert "Check the URL's user and password" in str(error)


async def test_an_unknown_vhost_is_refused_by_its_name(rabbitmq_url: str) -> None:
    at, _ = place(rabbitmq_url)
    error = await failure(f"amqp://guest:guest@{at}/no%2Fsuch")
    assert isinstance(error, PermissionDenied)
    assert error.executed == "no"
    assert "user 'guest' may not use vhost 'no/such'" in str(error)


async def test_where_nobody_listens_the_error_names_the_hosts_and_says_what_to_do(
    nobody: str,
) -> None:
    error = await failure(f"amqp://guest:guest@{nobody},nowhere.invalid:5673/")
    assert isinstance(error, ConnectionLost)
    assert isinstance(error, ConnectionError)
    assert error.executed == "no"
    for part in (
        nobody,
        "nowhere.invalid:5673",
        "Is RabbitMQ running there?",
        "LEVERET_URL",
        "leveret broker",
    ):
        assert part in str(error)


async def test_a_dead_host_is_passed_over_for_the_next(
    rabbitmq_url: str, nobody: str, host: Rabbit
) -> None:
    at, vhost = place(rabbitmq_url)
    async with (
        host.serving(Echo()),
        leveret.connect(f"amqp://guest:guest@{nobody},{at}/{vhost}") as rabbit,
    ):
        assert await rabbit.remote(Echo).echo("x") == "x"


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_a_name_whose_first_address_leads_nowhere_is_reached_by_another_each_time(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch, loop_kind: str
) -> None:
    at, _ = place(rabbitmq_url)
    ip, _, port = at.rpartition(":")
    url = rabbitmq_url.replace(at, "broker:5672")

    async def main() -> None:
        with swallows_syns() as dead:
            resolve_to(monkeypatch, broker=[dead, (ip, int(port))])
            async with (
                at_once(),
                leveret.connect(url) as rabbit,
                rabbit.serving(Echo()),
            ):
                echo = rabbit.remote(Echo).with_options(timeout=20)
                assert await echo.echo("x") == "x"
                before = rabbit.calls.connection
                crash(rabbit)
                assert await echo.echo("y") == "y"
                assert rabbit.calls.connection is not before

    if loop_kind == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        asyncio.run(main())


async def test_a_host_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        error = await failure(f"amqp://guest:guest@127.0.0.1:{port}/?connection_timeout=200")
    assert isinstance(error, ConnectionLost)
    assert "no answer in 0.2 s" in str(error)


async def test_a_host_that_speaks_something_else_is_named_for_it() -> None:
    import asyncio

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(f"amqp://guest:guest@127.0.0.1:{port}/")
    assert isinstance(error, ConnectionLost)
    assert f"127.0.0.1:{port}: " in str(error)


async def test_the_password_is_in_no_message_repr_or_log(
    rabbitmq_url: str, nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    at, vhost = place(rabbitmq_url)
    password = secrets.token_hex(8)
    for url in (
        f"amqp://guest:{password}@{at}/{vhost}",
        f"amqp://guest:{password}@{nobody}/",
        f"amqp://guest:{password}@{nobody},nowhere.invalid/",
    ):
        rabbit = leveret.connect(url)
        error = await failure(url)
        told = [str(error), repr(error), repr(rabbit), str(rabbit), caplog.text]
        told += traceback.format_exception(error)
        assert not [text for text in told if password in text]
    for url in (f"amqp://guest:{password}@@{at}/", f"amqp://guest:{password}@{at}/?oops=1"):
        with pytest.raises(InvalidURL) as caught:
            leveret.connect(url)
        assert password not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_url_is_an_error_and_not_the_default(
    monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    with pytest.raises(InvalidURL, match="the URL is empty"):
        leveret.connect(empty)
    monkeypatch.setenv("LEVERET_URL", empty)
    with pytest.raises(InvalidURL, match="LEVERET_URL is empty"):
        leveret.connect()
    monkeypatch.delenv("LEVERET_URL")
    assert leveret.connect().state == "closed"


async def test_options_that_cannot_be_are_refused_at_once(rabbitmq_url: str) -> None:
    with pytest.raises(InvalidArgument, match="max_in_flight must be a whole number"):
        leveret.connect(rabbitmq_url, max_in_flight=0)
    with pytest.raises(InvalidArgument, match="timeout must be"):
        leveret.connect(rabbitmq_url, timeout=-1)
    wrong: Any = {
        "reconnect": 3,
        "max_message_size": "3",
        "name": 0,
        "user_id": 7,
        "middleware": 5,
        "on_connection": 5,
        "credentials": ("guest", "guest"),
        "wait_for_broker": -1,
        "retry": 3,
        "breaker": True,
    }
    for option, value in wrong.items():
        with pytest.raises(InvalidArgument, match=f"^{option} must be .*; got "):
            leveret.connect(rabbitmq_url, **{option: value})
    with pytest.raises(InvalidArgument, match="on_connection must be a plain function"):
        leveret.connect(rabbitmq_url, on_connection=asyncio.sleep)  # type: ignore[arg-type]
    for patience in (math.nan, "5", True):
        with pytest.raises(InvalidArgument, match="wait_for_broker must be"):
            leveret.connect(rabbitmq_url, wait_for_broker=patience)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="255 bytes"):
        leveret.connect(rabbitmq_url, name="n" * 256)
    with pytest.raises(InvalidURL):
        leveret.connect("http://localhost")
