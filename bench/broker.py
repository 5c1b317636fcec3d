"""The one RabbitMQ that all peers of a run share."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

CONNECT_WITHIN = 5.0
"""Seconds."""


class NoBrokerError(Exception):
    """There is no RabbitMQ to measure on; the message says how to get one."""


@contextmanager
def one_rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ: LEVERET_URL where set, else one started for this block.

    :raises NoBrokerError: when none can be had.
    """
    url = os.environ.get("LEVERET_URL")
    if url:
        _check(url)
        yield url
        return
    try:
        from leveret.testing import RabbitMQ, RabbitMQUnavailable
    except ImportError as error:
        raise NoBrokerError(
            f"LEVERET_URL is not set, and leveret.testing cannot start a RabbitMQ ({error}). "
            "Install Leveret (pip install -e .), or set LEVERET_URL=amqp://guest:guest@localhost/"
        ) from error
    broker = RabbitMQ()
    try:
        broker.start()
    except RabbitMQUnavailable as error:
        raise NoBrokerError(str(error)) from error
    with broker:
        yield broker.url


@contextmanager
def rabbitmq_at(url: str | None) -> Iterator[str]:
    """The RabbitMQ at a URL; for None the one of `one_rabbitmq`."""
    if url is None:
        with one_rabbitmq() as found:
            yield found
    else:
        yield url


def broker_version(url: str) -> str:
    """The product and version that a broker names in connection.start, else "unknown"."""
    try:
        from leveret.amqp.events import Method
        from leveret.amqp.methods import Connection
        from leveret.amqp.parser import Parser
        from leveret.errors import ProtocolError
    except ImportError:
        return "unknown"
    try:
        with _connected(url) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            events = Parser().receive(connection.recv(65536))
    except (OSError, ProtocolError):  # over TLS, for one
        return "unknown"
    match events:
        case [Method(method=Connection.Start(server_properties=told))] if told:
            pass
        case _:
            return "unknown"
    version = " ".join(str(told[name]) for name in ("product", "version") if name in told)
    embedded = str(told.get("platform", "")).startswith("Leveret")  # as it is no other product
    return f"{version} ({told['platform']})" if embedded else version


def with_named_vhost(url: str) -> str:
    """The URL with the default vhost written out: C's URL parser takes "/" for an empty name."""
    parts = urlsplit(url)
    return parts._replace(path="/%2F").geturl() if parts.path in ("", "/") else url


def _check(url: str) -> None:
    try:
        _connected(url).close()
    except OSError as error:
        parts = urlsplit(url)
        raise NoBrokerError(
            f"no RabbitMQ answers at {parts.hostname}:{_port(url)} ({error}). Start it, "
            "or unset LEVERET_URL to have one started for this run"
        ) from error


def _connected(url: str) -> socket.socket:
    host = unquote(urlsplit(url).hostname or "localhost")
    return socket.create_connection((host, _port(url)), CONNECT_WITHIN)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (5671 if parts.scheme == "amqps" else 5672)
