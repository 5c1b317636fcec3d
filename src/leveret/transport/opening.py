"""Opens a connection to the first of several hosts that takes one: TCP, TLS, handshake."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from leveret.errors import AMQPError, ConnectionLost, Unauthenticated
from leveret.transport.address import Address
from leveret.transport.connection import Connection
from leveret.transport.credentials import Login, login_advice, look_up
from leveret.transport.handshake import Handshake
from leveret.transport.large_buffers import keep_large_buffers
from leveret.transport.network_errors import NETWORK_ERRORS, reason
from leveret.transport.tls import ssl_context

log = logging.getLogger("leveret.transport")

NEXT_HOST: Final = 2.0
"""Seconds that a host has to answer, where there is another to try after it."""

CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}
"""What this side can do, as it tells the broker (https://www.rabbitmq.com/docs/consumer-cancel)."""

Prepare = Callable[[Connection], Awaitable[None]]
"""What must succeed on a connection, too, before it counts as open."""


async def open_connection(
    address: Address,
    *,
    name: str,
    max_message_size: int,
    prepare: Prepare | None = None,
    after: str = "",
) -> Connection:
    """Connect to the first of the hosts that takes a connection.

    :param name: shown in RabbitMQ's list of connections.
    :param max_message_size: bytes of the largest message body to keep when one arrives.
    :param after: the "host:port" that failed last: those that follow it are tried first.
    :raises Unauthenticated: if the broker refuses the credentials, or there are none.
    :raises PermissionDenied: if the user may not use the vhost, or there is none of that name.
    :raises ConnectionLost: if no host can be reached; its message names each and why.
    :raises InvalidURL: if a file of the TLS settings cannot be used.
    """
    keep_large_buffers()
    failures: list[str] = []
    cause: Exception | None = None
    login = await _login(address)
    hosts = _in_turn(address.hosts, after)
    for host, port in hosts:
        last = (host, port) == hosts[-1]
        seconds = address.connection_timeout if last else min(address.connection_timeout, NEXT_HOST)
        handshake = Handshake(f"{host}:{port}", address, login, _client_properties(name))
        connection = Connection(f"{host}:{port}", handshake, max_message_size=max_message_size)
        try:
            async with asyncio.timeout(seconds):
                await _open(connection, address, host, port, prepare)
        except (*NETWORK_ERRORS, AMQPError, ConnectionLost) as error:
            connection.abort("it could not be made ready")
            cause = error
            why = reason(error, seconds=seconds)
            failures.append(f"{host}:{port}: {why}")
            log.info("no connection to %s:%d: %s", host, port, why)
        except BaseException:
            connection.abort("it could not be made ready")
            raise
        else:
            return connection
    raise ConnectionLost(
        f"cannot connect to {address}: {'; '.join(failures)}. Is RabbitMQ running there?"
        " Name another with LEVERET_URL or connect(url); `leveret broker` starts one for"
        " development.",
        executed="no",
    ) from cause


def _in_turn(hosts: tuple[tuple[str, int], ...], after: str) -> tuple[tuple[str, int], ...]:
    """The hosts, beginning behind the one of that name."""
    names = [f"{host}:{port}" for host, port in hosts]
    first = names.index(after) + 1 if after in names else 0
    return hosts[first:] + hosts[:first]


async def _login(address: Address) -> Login:
    """Ask who logs in: anew for each connection, so that passwords can change."""
    login = Login(address.username, address.password)
    if address.auth != "external" and address.credentials is not None:
        try:
            async with asyncio.timeout(address.connection_timeout):
                login = await look_up(address.credentials)
        except TimeoutError:
            raise ConnectionLost(
                f"cannot connect to {address}: no credentials came in"
                f" {address.connection_timeout:g} s",
                executed="no",
            ) from None
    try:
        f"{login.username}{login.password}".encode()
    except UnicodeEncodeError:  # which holds the text
        raise Unauthenticated(
            f"cannot connect to {address}: the user name or the password is no Unicode text."
            f" {login_advice(address.credentials)}"
        ) from None
    return login


async def _open(
    connection: Connection, address: Address, host: str, port: int, prepare: Prepare | None
) -> None:
    """Connect the socket, and wait until the connection is ready for use."""
    if address.dial is not None:
        await address.dial(connection)
    else:
        await _dial(connection, address, host, port)
    await connection.opened
    connection.check_open()  # a close may have come in the same read as open-ok
    if prepare is not None:
        await prepare(connection)


async def _dial(connection: Connection, address: Address, host: str, port: int) -> None:
    tls = address.tls
    transport, _ = await connection.loop.create_connection(
        lambda: connection,
        host,
        port,
        ssl=ssl_context(tls) if tls is not None else None,
        server_hostname=(tls.server_name or host) if tls is not None else None,
    )
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _client_properties(name: str) -> dict[str, Any]:
    return {
        "product": "Leveret",
        "version": _version(),
        "platform": f"{platform.python_implementation()} {platform.python_version()}",
        "connection_name": name,
        "capabilities": CAPABILITIES,
    }


def _version() -> str:
    # Slow to import, and needed for the first connection only.
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version("leveret")
    except metadata.PackageNotFoundError:
        return "0"


def default_name() -> str:
    """A connection's name where the user gives none: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"
