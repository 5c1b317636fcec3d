"""The embedded broker on sockets: it listens, reads, writes, and keeps the one clock (asyncio)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import quote

from leveret.amqp.codes import ReplyCode
from leveret.broker.limits import Limits
from leveret.broker.link import SocketLink
from leveret.broker.model.clock import Clock
from leveret.broker.node import Node
from leveret.broker.permissions import Permissions, User
from leveret.broker.refusals import Refused

log = logging.getLogger("leveret.broker")

_GOODBYE: Final = 1.0
"""How long clients may take to answer connection.close when the broker stops, in seconds."""


PURPOSE: Final = "in memory, for development and tests; production is RabbitMQ"
"""What it says of itself when it starts."""


class EmbeddedBroker:
    """An AMQP 0-9-1 broker inside this process, for development and tests.

    ::

        async with EmbeddedBroker() as broker:
            async with leveret.connect(broker.url) as rabbit: ...

    Any client in any language can use it. All messages are in memory, and gone when it closes:
    production is RabbitMQ.

    :param port: 0 for any free one, which `port` tells once it is started.
    :param users: passwords, or `User`s, by name.
    :param vhosts: there from the start; `add_vhost` makes more.
    :param limits: the bounds that it keeps.
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
        self._node: Node | None = None
        self._server: asyncio.Server | None = None
        self._links: set[SocketLink] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flush_due = False

    # -- starting and stopping ---------------------------------------------------------------

    async def start(self) -> Self:
        """Listen; does nothing when that is done."""
        if self._server is not None:
            return self
        loop = asyncio.get_running_loop()
        self._loop = loop
        clock = Clock(loop.time())
        self._node = Node(self._users, self._vhosts, self._limits, clock)
        self._server = await loop.create_server(self._accept, self._host, self._port, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]
        log.info("embedded AMQP broker on %s:%d: %s", self._host, self._port, PURPOSE)
        return self

    async def close(self) -> None:
        """Tell all clients (320, CONNECTION_FORCED), hang up, and forget all messages."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self.close_connections("broker forced connection closure with reason 'shutdown'")
        gone = [link.gone for link in self._links]
        if gone:
            await asyncio.wait(gone, timeout=_GOODBYE)
        for link in tuple(self._links):
            link.abort()
        if self._links:
            await asyncio.wait([link.gone for link in self._links])
        await server.wait_closed()
        if self._timer is not None:
            self._timer.cancel()

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
        """Where it listens."""
        return self._port

    @property
    def url(self) -> str:
        """The AMQP URL of its first vhost, with its first user."""
        return self._url(self._vhosts[0])

    def _url(self, vhost: str, name: str | None = None) -> str:
        name = name or next(iter(self._users))
        host = f"[{self._host}]" if ":" in self._host else self._host
        path = "" if vhost == "/" else quote(vhost, safe="")
        credentials = f"{quote(name, safe='')}:{quote(self._users[name].password, safe='')}"
        return f"amqp://{credentials}@{host}:{self._port}/{path}"

    @property
    def node(self) -> Node:
        """What is in it: vhosts, queues, sessions. :raises RuntimeError: before it is started."""
        if self._node is None:
            raise RuntimeError("this broker is not started: enter it, or await start()")
        return self._node

    def add_vhost(self, name: str) -> str:
        """Make a vhost that all users without permissions of their own may use; its URL."""
        self.node.add_vhost(name)
        return self._url(name)

    def add_user(
        self, name: str, password: str, permissions: Mapping[str, Permissions] | None = None
    ) -> str:
        """Let a user in, and return the URL; one that is there is replaced.

        What is open stays open with the rights that it had.

        :param permissions: by vhost, for the vhosts that it may enter; None for all rights in all.
        """
        user = User(password=password, permissions=permissions)
        self._users[name] = user
        if self._node is not None:
            self._node.users[name] = user
        return self._url(next(iter(permissions or ()), self._vhosts[0]), name)

    def delete_vhost(self, name: str) -> None:
        """Remove a vhost and its queues; connections to it are closed."""
        self.close_connections(f"vhost '{name}' is deleted", vhost=name)
        vhost = self.node.vhosts.pop(name, None)
        if vhost is not None:
            for queue in list(vhost.queues.values()):
                vhost.delete_queue(queue)
        self.pass_ended()

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Close the connections, or those of one vhost; returns how many.

        Clients are told: 320, `CONNECTION_FORCED - <reason>`.
        """
        count = 0
        for session in list(self.node.sessions):
            if session.state == "open" and vhost in (None, session.vhost.name):
                session.fail(Refused(ReplyCode.CONNECTION_FORCED, reason))
                count += 1
            elif session.state != "open" and vhost is None:
                session.finish()
        self.pass_ended()
        return count

    def block_publishers(self) -> None:
        """Raise the memory alarm: connections that publish are blocked (`connection.blocked`)."""
        self.node.memory.force(True)
        self.pass_ended()

    def unblock_publishers(self) -> None:
        """Clear the memory alarm (`connection.unblocked`)."""
        self.node.memory.force(False)
        self.pass_ended()

    # -- what its links ask ------------------------------------------------------------------

    def _accept(self) -> asyncio.Protocol:
        return SocketLink(self)

    def joined(self, link: SocketLink) -> bool:
        """A client connected; False where there are too many."""
        if self._server is None or len(self._links) >= self._limits.connections:
            return False
        self._links.add(link)
        return True

    def left(self, link: SocketLink) -> None:
        """A client is gone."""
        self._links.discard(link)
        self.pass_ended()

    def time(self) -> float:
        """Look at the clock, once for what one read brings."""
        now = self.node.clock.now = self._loop.time()
        return now

    def pass_ended(self) -> None:
        """Write what was caused, together with what else this pass of the event loop causes."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        node = self.node
        node.end_pass()
        while node.dirty:
            dirty, node.dirty = node.dirty, []
            for session in dirty:
                cast(SocketLink, session.link).write()
            node.end_pass()
        self._arm()

    def _arm(self) -> None:
        """Be called at the clock's next deadline."""
        deadline = self.node.clock.next_deadline()
        if self._timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return  # it looks again then
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._server is not None:
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.node.clock.tick(self._loop.time())
        self._flush()
