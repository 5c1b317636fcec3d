"""A client's channel and reply queue, on one connection after the other.

What becomes of the pending calls when the channel is gone:

- those that the broker has confirmed go on waiting: their replies wait in the reply queue, which
  outlives the connection;
- those that it has not confirmed are sent again if their method is idempotent; the others end with
  `ConnectionLost`, `executed` "maybe".

A confirmed request, or its reply, can be lost all the same: a broker that is killed loses what it
held in memory, and a socket that breaks loses what was in it. `client.look` finds out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.client import verdicts
from leveret.client.pending import MOST_RESENDS
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError, PermissionDenied
from leveret.transport.channel import Channel, unanswered
from leveret.transport.connection import Connection
from leveret.wire.channel_errors import is_down
from leveret.wire.native.names import reply_queue_name
from leveret.wire.native.topology import consume_replies

if TYPE_CHECKING:
    from leveret.client.calls import Calls
    from leveret.client.pending import Pending

log = logging.getLogger("leveret.client")

_GHOST_LOOKS: Final = 10
_GHOST_PAUSE: Final = 0.03
_RESTORED: Final = 5.0
"""Seconds that it takes at the most to be restored; then another connection is tried."""
_ANSWERED: Final = 2.0
"""Seconds that the broker has to say something of the reply queue, before another one is taken."""


class Attachment:
    """Lets the calls of one client outlive their connection."""

    def __init__(self, calls: Calls) -> None:
        self.unsent: dict[str, Pending] = {}
        """Calls whose requests are sent again on the next channel, by call id."""
        self._calls = calls
        self._attached = False
        self._user = calls.connection.user

    def __str__(self) -> str:
        return f"the reply queue {self._calls.reply_queue}"

    async def attach(self, connection: Connection) -> Channel:
        """Open the channel, consume from the reply queue, and send again what has to be.

        :raises ConnectionLost: if it takes `_RESTORED` seconds to get all that again.
        """
        calls = self._calls
        again, self._attached = self._attached, True
        try:
            async with asyncio.timeout(_RESTORED if again else None):
                channel = await self._open(connection, again=again)
        except TimeoutError:
            raise ConnectionLost(
                f"{connection}: {self} was not restored in {_RESTORED:g} s"
            ) from None
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close
        if again and connection.user != self._user:
            self._bind_keys()
        self._user = connection.user
        calls.attached(channel)
        if again:
            calls.lookout.recheck()
        unsent, self.unsent = self.unsent, {}
        for pending in unsent.values():
            calls.resend(pending)
        calls.flow.changed()
        return channel

    async def _open(self, connection: Connection, *, again: bool) -> Channel:
        """A channel that sends requests and gets replies."""
        calls = self._calls
        channel = await connection.open_channel()
        try:
            await channel.select_confirms()
            if again:
                await self._recover(connection)
            await consume_replies(channel, calls.reply_queue, calls.arrivals.on_reply)
        except PermissionDenied as error:
            channel.abandon()
            if again and connection.user != self._user:
                self._rename(error, connection.user)  # the next attempt is for one of its own
            raise
        except BaseException:
            channel.abandon()
            raise
        return channel

    async def _recover(self, connection: Connection) -> None:
        """See that the reply queue is there, and ours alone.

        A peer that vanished without a word can be its consumer for as long as the broker takes it
        for alive, and would be given half of the replies: then the queue is made anew.
        """
        calls = self._calls
        probe = await connection.open_channel()
        try:
            for _ in range(_GHOST_LOOKS):
                async with asyncio.timeout(_ANSWERED):
                    found = await probe.look_at_queue(calls.reply_queue)
                if not found.consumer_count:
                    return
                await asyncio.sleep(_GHOST_PAUSE)
            log.warning("%s has another consumer, from before; making it anew", self)
            await probe.call(methods.Queue.Delete(queue=calls.reply_queue))
        except ChannelClosed as error:
            other_user = connection.user != self._user
            if is_down(error) or (other_user and error.reply_code == ReplyCode.ACCESS_REFUSED):
                self._rename(error, connection.user)
            elif error.reply_code != ReplyCode.NOT_FOUND:
                raise
        except TimeoutError:
            self._rename(unanswered(f"{self} does not answer"), connection.user)
        finally:
            probe.abandon()

    def _rename(self, error: LeveretError, user: str) -> None:
        """The reply queue is on a node that is down, or another user's: go on with another one.

        Its replies cannot come, so the calls that wait for them are sent again, or end.
        """
        calls = self._calls
        log.warning("%s is out of reach, taking another: %s", self, error)
        before, calls.reply_queue = calls.reply_queue, reply_queue_name(user)
        for pending in list(calls.pending.values()):
            if pending.request.marked:
                calls.keys.setdefault(pending.id, f"{before}/{pending.id}")
            if pending.request.repeatable:
                self.unsent[pending.id] = pending
            elif pending.id not in self.unsent:
                calls.fail(pending, verdicts.lost(pending, error, confirmed=True))

    def _bind_keys(self) -> None:
        """Another user from now on, whose keys are others: what has one is not sent again."""
        for pending in self._calls.pending.values():
            if pending.request.marked:
                self._calls.keys[pending.id] = None

    def _on_cancel(self, _tag: str) -> None:
        """The reply queue was deleted, or its node went down: begin anew, on another channel."""
        log.warning("%s was deleted on the broker", self)
        channel = self._calls.channel
        channel.abandon()
        channel.end(ChannelClosed(ReplyCode.NOT_FOUND, f"{self} was deleted on the broker"))

    def _on_close(self, error: LeveretError) -> None:
        calls = self._calls
        for pending in calls.detached():
            # A request that costs its channel each time must not do so for ever.
            again = calls.resent.get(pending.id, 0) < MOST_RESENDS
            if pending.request.repeatable and calls.link.reconnects and again:
                self.unsent[pending.id] = pending
            else:
                calls.fail(pending, verdicts.lost(pending, error, confirmed=False))
        calls.link.restore(self)
