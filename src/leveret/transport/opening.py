"""Opens a connection to the first of several hosts that takes one: TCP, TLS, handshake.

Hosts are tried one after the other, the addresses of one host at the same time (`dialing`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

from leveret.errors import AMQPError, ConnectionLost, Unauthenticated
from leveret.transport.address import Address
from leveret.transport.connection import Connection
from leveret.transport.credentials import Login, login_advice, look_up
from leveret.transport.dialing import Endpoint, NoneOpened, connect_socket, race, resolve
from leveret.transport.handshake import Handshake
from leveret.transport.large_buffers import keep_large_buffers
from leveret.transport.network_errors import NETWORK_ERRORS, as_connection_lost, reason
from leveret.transport.tls import ssl_context

log = logging.getLogger("leveret.transport")

NEXT_HOST: Final = 2.0
"""Seconds that a host has to open a connection, where there is another to try after it."""

CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}
"""What this side can do, as it tells the broker (https://www.rabbitmq.com/docs/consumer-cancel)."""

Prepare = Callable[[Connection], Awaitable[object]]
"""What must also succeed on a connection before it counts as open."""


async def open_connection(
    address: Address,
    *,
    name: str,
    max_message_size: int,
    prepare: Prepare | None = None,
    after: str = "",
    avoid: Endpoint | None = None,
) -> Connection:
    """Connect to the first of the hosts that takes a connection.

    :param name: shown in RabbitMQ's list of connections.
    :param max_message_size: bytes of the largest message body to keep when one arrives.
    :param after: the "host:port" that failed last: those that follow it are tried first.
    :param avoid: the address that failed last: the others of its host are tried before it.
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
    for number, (host, port) in enumerate(hosts, start=1):
        seconds = address.connection_timeout
        if number < len(hosts):
            seconds = min(seconds, NEXT_HOST)
        opener = _Opener(address, host, port, login, name, max_message_size, prepare)
        try:
            return await _open(opener, seconds, avoid)
        except ConnectionLost as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            failures.append(str(error))
            if number < len(hosts):
                log.info("no connection to %s", error)  # the last one ends the attempt, which tells
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
            f"cannot connect to {address}: the user name or the password is not Unicode text."
            f" {login_advice(address.credentials)}"
        ) from None
    return login


class _Opener:
    """Opens connections to one host."""

    def __init__(
        self,
        address: Address,
        host: str,
        port: int,
        login: Login,
        name: str,
        max_message_size: int,
        prepare: Prepare | None,
    ) -> None:
        self.address = address
        self.host = host
        self.port = port
        self._login = login
        self._name = name
        self._max_message_size = max_message_size
        self._prepare = prepare

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    async def __call__(self, endpoint: Endpoint | None, taken: Callable[[], None]) -> Connection:
        """Connect the socket, and wait until the connection is ready for use."""
        address = self.address
        handshake = Handshake(str(self), address, self._login, _client_properties(self._name))
        connection = Connection(str(self), handshake, max_message_size=self._max_message_size)
        try:
            if endpoint is not None:
                connection.endpoint = endpoint
                await self._dial(connection, endpoint, taken)
            elif address.dial is not None:
                await address.dial(connection)
            await connection.opened
            connection.check_open()  # a close may have come in the same read as open-ok
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException:
            connection.abort("it could not be made ready")
            raise
        return connection

    async def _dial(
        self, connection: Connection, endpoint: Endpoint, taken: Callable[[], None]
    ) -> None:
        tls = self.address.tls
        context = ssl_context(tls) if tls is not None else None
        sock = await connect_socket(endpoint)
        taken()
        try:
            await connection.loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=context,
                server_hostname=(tls.server_name or self.host) if tls is not None else None,
            )
        except BaseException:
            sock.close()
            raise


async def _open(opener: _Opener, seconds: float, avoid: Endpoint | None) -> Connection:
    """Connect to one host, at the first of its addresses that takes the connection.

    :raises ConnectionLost: if none does; it names each and why.
    """
    endpoints: list[Endpoint | None] = [None]
    begun = asyncio.get_running_loop().time()
    if opener.address.dial is None:
        try:
            async with asyncio.timeout(seconds):
                endpoints = [*await resolve(opener.host, opener.port)]
        except TimeoutError as error:
            raise as_connection_lost(error, f"{opener}: not looked up in {seconds:g} s") from error
        except NETWORK_ERRORS as error:
            raise as_connection_lost(error, f"{opener}: {reason(error)}") from error
        endpoints.sort(key=lambda endpoint: endpoint == avoid)  # which failed last
    left = begun + seconds - asyncio.get_running_loop().time()
    try:
        return await race(
            endpoints, opener, seconds=left, errors=(*NETWORK_ERRORS, AMQPError, ConnectionLost)
        )
    except NoneOpened as error:
        told = []
        for endpoint, failure in error.failures:
            name = f"{opener} ({endpoint})" if len(endpoints) > 1 else str(opener)
            told.append(f"{name}: {reason(failure, seconds=seconds).removeprefix(f'{opener}: ')}")
        last = error.failures[-1][1]
        raise as_connection_lost(last, "; ".join(told)) from last


def _client_properties(name: str) -> dict[str, Any]:
    return {
        "product": "Leveret",
        "version": _version(),
        "platform": f"{platform.python_implementation()} {platform.python_version()}",
        "connection_name": name,
        "capabilities": CAPABILITIES,
    }


@cache
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
