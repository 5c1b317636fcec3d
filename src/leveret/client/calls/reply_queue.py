"""The reply queue of one client, on one connection after the other.

The queue outlives its connection, so replies wait in it until the client is back. Three things can
keep the client from it then. The broker's node that has the queue may be down. The connection may
have another user. Or the queue has a ghost: the client's previous consumer, whose connection the
broker still takes to be alive. As a ghost gets half of the replies, the client deletes the queue
and declares it again. In the other two cases it takes a queue of another name, and replies to
earlier requests are lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.errors import ChannelClosed, LeveretError, PermissionDenied
from leveret.transport.channel import Channel, unanswered
from leveret.transport.connection import Connection
from leveret.wire.channel_errors import is_down

log = logging.getLogger("leveret.client")

_GHOST_PROBES: Final = 10
"""How often the queue is probed for a ghost before it is declared again."""
_GHOST_PAUSE: Final = 0.03
"""Seconds between two of these probes."""
_ANSWERED_WITHIN: Final = 2.0
"""Seconds that the broker has to answer for the queue before the client takes another one."""

Consume = Callable[[Channel, str, Callable[[Delivery], None]], Awaitable[None]]
"""Declares a reply queue and consumes from it: `consume(channel, name, on_delivery)`."""


class ReplyQueue:
    """Opens the channel that requests leave by and replies come by.

    :param name_for: makes a name for a user's queue, which nobody can guess.
    :param on_delivery: takes what comes to the queue.
    :param on_renamed: is told why the replies to `name` are lost, before the queue is renamed.
    """

    def __init__(
        self,
        *,
        name_for: Callable[[str], str],
        consume: Consume,
        on_delivery: Callable[[Delivery], None],
        on_renamed: Callable[[LeveretError], None],
    ) -> None:
        self.name = ""
        """The queue's name; "" before the first connection, as users have names of their own."""
        self.user = ""
        """The user of the connection that it was last opened on."""
        self._name_for = name_for
        self._consume = consume
        self._on_delivery = on_delivery
        self._on_renamed = on_renamed

    def __str__(self) -> str:
        return f"the reply queue {self.name}"

    async def open(self, connection: Connection, *, again: bool) -> Channel:
        """A channel with confirms that consumes from the queue.

        :param again: whether the queue was there before.
        :raises LeveretError: why that is not possible on this connection.
        """
        if not self.name:
            self.user = connection.user
            self.name = self._name_for(connection.user)
        try:
            channel = await self._open(connection, again=again)
        except PermissionDenied as error:
            if not again or connection.user == self.user:
                raise
            self._rename(error, connection.user)  # each user has queues of its own
            channel = await self._open(connection, again=False)
        self.user = connection.user
        return channel

    async def _open(self, connection: Connection, *, again: bool) -> Channel:
        channel = await connection.open_channel()
        try:
            await channel.select_confirms()
            if again:
                await self._recover(connection)
            await self._consume(channel, self.name, self._on_delivery)
        except BaseException:
            channel.abandon()
            raise
        return channel

    async def _recover(self, connection: Connection) -> None:
        """See that the queue is there and has no ghost."""
        channel = await connection.open_channel()
        try:
            for _ in range(_GHOST_PROBES):
                async with asyncio.timeout(_ANSWERED_WITHIN):
                    found = await channel.look_at_queue(self.name)
                if not found.consumer_count:
                    return
                await asyncio.sleep(_GHOST_PAUSE)
            log.warning("%s still has its previous consumer; declaring it again", self)
            await channel.call(methods.Queue.Delete(queue=self.name))
        except ChannelClosed as error:
            other_user = connection.user != self.user
            if is_down(error) or (other_user and error.reply_code == ReplyCode.ACCESS_REFUSED):
                self._rename(error, connection.user)
            elif error.reply_code != ReplyCode.NOT_FOUND:
                raise
        except TimeoutError:
            self._rename(unanswered(f"{self} does not answer"), connection.user)
        finally:
            channel.abandon()

    def _rename(self, error: LeveretError, user: str) -> None:
        log.warning("%s is out of reach; taking another queue: %s", self, error)
        self._on_renamed(error)
        self.name = self._name_for(user)

    async def delete(self, connection: Connection) -> None:
        """Delete the queue. If that fails, it expires by itself."""
        try:
            channel = await connection.open_channel()
            await channel.call(methods.Queue.Delete(queue=self.name))
            await channel.close()
        except LeveretError:
            pass
