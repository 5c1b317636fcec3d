"""The embedded broker on a socket of its own, for clients in any language (asyncio)."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from leveret.async_only import AsyncOnly
from leveret.broker.limits import Limits
from leveret.broker.node import Node
from leveret.broker.permissions import Permissions, User
from leveret.broker.running import PURPOSE, RunningBroker

log = logging.getLogger("leveret.broker")

_ATTEMPTS: Final = 20
"""How many free ports of 127.0.0.1 are tried until one is free on ::1 as well."""


class EmbeddedBroker(AsyncOnly):
    """An AMQP 0-9-1 broker inside this process, for development and tests.

    ::

        async with EmbeddedBroker() as broker:
            async with leveret.connect(broker.url) as rabbit: ...

    Any client in any language can use it. All messages are in memory, and lost when it closes:
    production is RabbitMQ.

    :param host: where it listens; "localhost" is 127.0.0.1, and ::1 where there is IPv6.
    :param port: 0 for any free one, which `port` tells once the broker is started.
    :param users: passwords, or `User`s, by name.
    :param vhosts: exist from the start; `add_vhost` makes more.
    :param limits: the bounds that the broker keeps.
    :raises OSError: (on entering) if it cannot listen there.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        users: Mapping[str, str | User] | None = None,
        vhosts: Sequence[str] = ("/",),
        *,
        limits: Limits | None = None,
    ) -> None:
        given = {"guest": "guest"} if users is None else users
        self._users = {
            name: User(password=user) if isinstance(user, str) else user
            for name, user in given.items()
        }
        self._host = host
        self._port = port
        self._vhosts = tuple(vhosts)
        self._limits = limits or Limits()
        self._broker: RunningBroker | None = None
        self._servers: list[asyncio.Server] = []

    # -- starting and stopping ---------------------------------------------------------------

    async def start(self) -> Self:
        """Listen. Does nothing if the broker listens already."""
        if self._servers:
            return self
        broker = RunningBroker(self._users, self._vhosts, self._limits)
        self._servers = await _listen(broker.accept, self._host, self._port)
        self._broker = broker
        self._port = _port_of(self._servers[0])
        log.info("embedded AMQP broker on %s:%d: %s", self._host, self._port, PURPOSE)
        return self

    async def close(self) -> None:
        """Tell all clients (320, CONNECTION_FORCED), hang up, and forget all messages."""
        servers, self._servers = self._servers, []
        if not servers:
            return
        for server in servers:
            server.close()
        await self._running.stop()
        for server in servers:
            await server.wait_closed()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # -- what users and tests ask ------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._port

    @property
    def url(self) -> str:
        """The AMQP URL of its first vhost, with its first user.

        :raises RuntimeError: if it has no vhosts, or no users.
        """
        return self._url(self._first_vhost())

    def _first_vhost(self) -> str:
        for vhost in self._vhosts or (self._broker.node.vhosts if self._broker else ()):
            return vhost
        raise RuntimeError("this broker has no vhosts: call add_vhost")

    def _url(self, vhost: str, name: str | None = None) -> str:
        if name is None:
            if not self._users:
                raise RuntimeError("this broker has no users: call add_user")
            name = next(iter(self._users))
        host = f"[{self._host}]" if ":" in self._host else self._host
        path = "" if vhost == "/" else quote(vhost, safe="")
        credentials = f"{quote(name, safe='')}:{quote(self._users[name].password, safe='')}"
        return f"amqp://{credentials}@{host}:{self._port}/{path}"

    @property
    def node(self) -> Node:
        """The broker's vhosts, queues and sessions.

        :raises RuntimeError: before it is started.
        """
        return self._running.node

    @property
    def _running(self) -> RunningBroker:
        if self._broker is None:
            raise RuntimeError("this broker is not started: enter it, or await start()")
        return self._broker

    def add_vhost(self, name: str) -> str:
        """Make a vhost, and return its URL. Users without permissions of their own may use it.

        :raises RuntimeError: if the broker has no users, whom a URL names.
        """
        url = self._url(name)
        self.node.add_vhost(name)
        return url

    def add_user(
        self, name: str, password: str, permissions: Mapping[str, Permissions] | None = None
    ) -> str:
        """Add or replace a user, and return its URL.

        Connections that are open keep the rights that they had.

        :param permissions: by vhost, for the vhosts that it may open; None for all rights in all.
        :raises RuntimeError: if the broker has no vhosts, and none is named here.
        """
        vhost = next(iter(permissions)) if permissions else self._first_vhost()
        user = User(password=password, permissions=permissions)
        self._users[name] = user
        if self._broker is not None:
            self._broker.node.users[name] = user
        return self._url(vhost, name)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost and its queues. Connections to it are closed."""
        self._running.delete_vhost(name)

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Close the connections, or those of one vhost. Returns how many.

        Clients are told: 320, `CONNECTION_FORCED - <reason>`.
        """
        return self._running.close_connections(reason, vhost=vhost)

    def block_publishers(self) -> None:
        """Raise the memory alarm: connections that publish are blocked (`connection.blocked`)."""
        self._running.force_alarm(True)

    def unblock_publishers(self) -> None:
        """Clear the memory alarm (`connection.unblocked`)."""
        self._running.force_alarm(False)


Accept = Callable[[], asyncio.Protocol]
"""Makes the broker's end of a new client's transport."""


async def _listen(accept: Accept, host: str, port: int) -> list[asyncio.Server]:
    """Listen on the addresses of a host, all on one port.

    :raises OSError: if that is not possible.
    """
    if host != "localhost":
        return [await _listen_on(accept, host, port)]
    # Not what the resolver finds: it may know one family, and clients try the other.
    attempts = 1 if port else _ATTEMPTS
    while True:
        attempts -= 1
        server = await _listen_on(accept, "127.0.0.1", port)
        try:
            return [server, await _listen_on(accept, "::1", _port_of(server))]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [server]  # there is no IPv6
            server.close()
            if not attempts:
                raise
        except BaseException:
            server.close()
            raise


async def _listen_on(accept: Accept, host: str, port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(accept, host, port, backlog=512)


def _port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
