"""Opens a connection: the hosts in turn, TLS, SASL, tuning (section 4.2.2 and connection.tune)."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from leveret.amqp import methods
from leveret.amqp.codes import FRAME_MIN_SIZE, ReplyCode
from leveret.errors import (
    AMQPError,
    ConnectionClosed,
    ConnectionLost,
    PermissionDenied,
    ProtocolError,
    Unauthenticated,
)
from leveret.transport.address import Address
from leveret.transport.connection import Connection
from leveret.transport.credentials import Login, login_advice, look_up
from leveret.transport.tls import ssl_context

log = logging.getLogger("leveret.transport")

NEXT_HOST: Final = 2.0
"""Seconds after which the next of several hosts is tried, where one does not answer."""
FRAME_MAX: Final = 131_072
CHANNEL_MAX: Final = 2047

CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}


Prepare = Callable[[Connection], Awaitable[None]]


async def open_connection(
    address: Address,
    *,
    name: str,
    max_message_size: int,
    prepare: Prepare | None = None,
    after: str = "",
) -> Connection:
    """A connection to the first of the hosts that takes one.

    :param name: shown in RabbitMQ's list of connections.
    :param max_message_size: bytes of the largest message body to keep when one arrives.
    :param prepare: what has to go well on it as well, before it counts as one.
    :param after: the "host:port" that failed last: those that follow it come first.
    :raises Unauthenticated: if the broker refuses the credentials, or there are none.
    :raises PermissionDenied: if the user may not use the vhost, or there is none of that name.
    :raises ConnectionLost: if no host can be reached; its message names each and why.
    """
    failures: list[str] = []
    cause: Exception | None = None
    login = await _login(address)
    hosts = _in_turn(address.hosts, after)
    for host, port in hosts:
        last = (host, port) == hosts[-1]
        seconds = address.connection_timeout if last else min(address.connection_timeout, NEXT_HOST)
        try:
            return await _open(address, login, host, port, name, max_message_size, seconds, prepare)
        except (OSError, TimeoutError, AMQPError, ConnectionLost) as error:
            cause = error
            reason = _reason(error, seconds)
            failures.append(f"{host}:{port}: {reason}")
            log.info("no connection to %s:%d: %s", host, port, reason)
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
    """Who logs in, asked anew for each connection, so that passwords can change."""
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


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {seconds:g} s"
    return str(error) or type(error).__name__


async def _open(
    address: Address,
    login: Login,
    host: str,
    port: int,
    name: str,
    max_message_size: int,
    seconds: float,
    prepare: Prepare | None,
) -> Connection:
    loop = asyncio.get_running_loop()
    context = ssl_context(address.tls) if address.tls is not None else None
    server_name = (address.tls.server_name or host) if address.tls is not None else None
    connection: Connection | None = None

    def made() -> Connection:
        return Connection(f"{host}:{port}", max_message_size=max_message_size)

    try:
        async with asyncio.timeout(seconds):
            transport, connection = await loop.create_connection(
                made, host, port, ssl=context, server_hostname=server_name
            )
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await _handshake(connection, address, login, name)
            if prepare is not None:
                await prepare(connection)
            return connection
    except BaseException:
        if connection is not None:
            connection.abort("it could not be made ready")
        raise


async def _handshake(connection: Connection, address: Address, login: Login, name: str) -> None:
    start = await _expect(connection, methods.Connection.Start)
    connection.server_properties = dict(start.server_properties)
    connection.send_control(_start_ok(address, login, name, start.mechanisms))
    try:
        tune = await _expect(connection, methods.Connection.Tune)
    except (ConnectionClosed, ConnectionLost) as error:
        if _refused_login(error, connection):
            raise Unauthenticated(_refusal(connection, address, login, error)) from error
        raise
    connection.user = _user_id(address, login)
    frame_max = _smaller(FRAME_MAX, tune.frame_max)
    if frame_max < FRAME_MIN_SIZE:
        raise ProtocolError(
            ReplyCode.SYNTAX_ERROR, f"the broker offered frames of {frame_max} bytes only"
        )
    channel_max = _smaller(CHANNEL_MAX, tune.channel_max)
    heartbeat = _smaller(address.heartbeat, tune.heartbeat) if address.heartbeat else 0
    connection.send_control(
        methods.Connection.TuneOk(channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat)
    )
    connection.send_control(methods.Connection.Open(virtual_host=address.vhost))
    try:
        await _expect(connection, methods.Connection.OpenOk)
    except ConnectionClosed as error:
        if error.reply_code in (ReplyCode.NOT_ALLOWED, ReplyCode.ACCESS_REFUSED):
            raise PermissionDenied(
                f"{connection}: user {login.username!r} may not use vhost"
                f" {address.vhost!r}: {error}"
            ) from error
        raise
    connection.check_open()  # a close may have come in the same read as open-ok
    connection.tuned(frame_max=frame_max, channel_max=channel_max, heartbeat=heartbeat)


def _refusal(connection: Connection, address: Address, login: Login, error: Exception) -> str:
    if address.auth == "plain":
        return (
            f"{connection}: the broker refused the login of user {login.username!r}:"
            f" {error}. {login_advice(address.credentials)}"
        )
    certfile = address.tls.certfile if address.tls is not None else None
    advice = (
        f"Is there a user of the name in {certfile!r}?"
        if certfile is not None
        else "It presented none. Name one with certfile in an amqps:// URL."
    )
    return (
        f"{connection}: the broker refused the login of this client's certificate: {error}."
        f" {advice}"
    )


def _refused_login(error: ConnectionClosed | ConnectionLost, connection: Connection) -> bool:
    """Whether the answer to start-ok means that the credentials are wrong.

    A broker without this capability just closes the socket, as AMQP has it
    (https://www.rabbitmq.com/docs/auth-notification).
    """
    if isinstance(error, ConnectionClosed):
        return error.reply_code == ReplyCode.ACCESS_REFUSED
    capabilities = connection.server_properties.get("capabilities") or {}
    return not capabilities.get("authentication_failure_close")


async def _expect(connection: Connection, kind: type[Any]) -> Any:
    method = await connection.next_control()
    if not isinstance(method, kind):
        raise ProtocolError(
            ReplyCode.COMMAND_INVALID, f"got {method.name} where {kind.name} was due"
        )
    return method


def _user_id(address: Address, login: Login) -> str:
    """What the broker calls this user; with EXTERNAL only its user can know."""
    if address.user_id is not None:
        return address.user_id
    return login.username if address.auth == "plain" else ""


def _start_ok(address: Address, login: Login, name: str, offered: str) -> Any:
    """The login by SASL (https://www.rabbitmq.com/docs/access-control).

    The response is no variable anywhere: what fails later has the password in none of its frames.
    """
    wanted = "EXTERNAL" if address.auth == "external" else "PLAIN"
    if wanted not in offered.split():
        raise Unauthenticated(
            f"the broker does not offer the login mechanism {wanted}, only {offered or 'none'};"
            " see auth_mechanisms in its configuration, and auth_mechanism in the URL"
        )
    return methods.Connection.StartOk(
        client_properties=_client_properties(name),
        mechanism=wanted,
        response="" if wanted == "EXTERNAL" else f"\0{login.username}\0{login.password}",
    )


def _smaller(ours: int, theirs: int) -> int:
    """What both agree to, where 0 is "no limit"."""
    return min(ours, theirs) if ours and theirs else max(ours, theirs)


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
