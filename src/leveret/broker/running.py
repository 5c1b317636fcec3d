"""A broker's node on an event loop: its clients' links, its clock, and its passes (asyncio).

It knows no sockets: `embedded` listens on one, and `shared` connects in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from leveret.amqp.codes import ReplyCode
from leveret.broker.limits import Limits
from leveret.broker.link import Link
from leveret.broker.model.clock import Clock
from leveret.broker.node import Node
from leveret.broker.permissions import User
from leveret.broker.refusals import Refused
from leveret.broker.session.session import Session
from leveret.broker.session.states import SessionState

PURPOSE: Final = "in memory, for development and tests; production is RabbitMQ"
"""What a broker logs when it starts."""

_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that clients may take to answer connection.close when the broker stops."""


class RunningBroker:
    """A node that runs in the present event loop, and the links of its clients."""

    def __init__(self, users: Mapping[str, User], vhosts: tuple[str, ...], limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self.limits = limits
        self.clock = Clock(self._loop.time(), wall=time.time)
        self.node = Node(users, vhosts, limits, self.clock)
        self._links: dict[Link, None] = {}
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flush_due = False

    def accept(self) -> asyncio.Protocol:
        """The broker's end of a new client's transport."""
        return Link(self)

    async def stop(self) -> None:
        """Tell all clients (320, CONNECTION_FORCED), hang up, and take no more clients."""
        self._stopped = True
        self.close_connections("broker forced connection closure with reason 'shutdown'")
        if self._links:
            await asyncio.wait([link.closed for link in self._links], timeout=_CLOSE_TIMEOUT)
        for link in tuple(self._links):
            link.abort()
        if self._links:
            await asyncio.wait([link.closed for link in self._links])
        if self._timer is not None:
            self._timer.cancel()

    # -- what users and tests ask ------------------------------------------------------------

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Close the connections, or those of one vhost. Returns how many.

        Clients are told: 320, `CONNECTION_FORCED - <reason>`.
        """
        count = 0
        for session in list(self.node.sessions):
            opened = session.vhost
            if session.state is SessionState.OPEN and opened is not None:
                if vhost in (None, opened.name):
                    session.fail(Refused(ReplyCode.CONNECTION_FORCED, reason))
                    count += 1
            elif vhost is None:
                session.finish()
        self.pass_ended()
        return count

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost and its queues. Connections to it are closed."""
        self.close_connections(f"vhost '{name}' is deleted", vhost=name)
        vhost = self.node.vhosts.pop(name, None)
        if vhost is not None:
            for queue in list(vhost.queues.values()):
                vhost.delete_queue(queue)
        self.pass_ended()

    def force_alarm(self, alarmed: bool) -> None:
        """Raise the memory alarm whatever is used, or stop doing so."""
        self.node.memory.force(alarmed)
        self.pass_ended()

    # -- what its links ask ------------------------------------------------------------------

    def open_session(self, link: Link, peer: str) -> Session | None:
        """Begin the session of a client that has connected; None if there are too many."""
        if self._stopped or len(self._links) >= self.limits.connections:
            return None
        self._links[link] = None
        return self.node.open_session(link, peer)

    def closed(self, link: Link) -> None:
        """Forget a client whose transport is closed or lost."""
        self._links.pop(link, None)
        self.pass_ended()

    def set_clock(self) -> float:
        """Set the clock to the present time, once for all that one read causes."""
        now = self.clock.now = self._loop.time()
        return now

    # -- passes ------------------------------------------------------------------------------

    def pass_ended(self) -> None:
        """Write what was caused, together with what else this pass of the event loop causes."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        node = self.node
        node.end_pass()
        while node.batch.writes:
            node.batch.write()
            node.end_pass()
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the loop call at the clock's next deadline."""
        deadline = self.clock.next_deadline()
        if self._timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return  # it will look again then
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._stopped:
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.clock.tick(self._loop.time())
        self._flush()
