"""The channel that requests leave by, and which of them the broker has confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from leveret.amqp.confirms import Confirms
from leveret.body_parts import Body
from leveret.client.calls.life import Pending, State
from leveret.transport.channel import Channel
from leveret.wire.dialect import NO_CHANNEL, ONLY_IF_FREE, ClientChannel

_POLL: Final = 0.005
"""Seconds between two looks at the ledger, while somebody waits for all confirms."""


def _no_channel(_frames: bytes) -> None:
    raise AssertionError("a request is sent only while there is a channel")


class Publisher:
    """Publishes requests, and keeps the ledger of confirms.

    :param on_refused: told of each call whose request the broker did not take (basic.nack).
    :param on_taken: told of each one-way call whose latest request the broker has confirmed.
    """

    outgoing: ClientChannel
    """The channel as packers see it, or the last one. Each channel has a record of its own."""

    def __init__(
        self,
        *,
        on_refused: Callable[[Pending], None],
        on_taken: Callable[[Pending], None],
    ) -> None:
        self.outgoing = NO_CHANNEL
        self._on_refused = on_refused
        self._on_taken = on_taken
        self._one_way = 0
        """How many requests of one-way calls the broker has not confirmed. While it is 0, nobody
        waits for a confirm, and a confirm needs no look at the calls."""
        self._channel: Channel | None = None
        self._send: Callable[[bytes], None] = _no_channel
        self._ledger: Confirms[Pending] = Confirms()
        self._timeout = 0.0  # of the last request
        self._milliseconds = 1  # the same, as it stands in the request

    @property
    def channel(self) -> Channel:
        """The current channel, or the last one."""
        assert self._channel is not None
        return self._channel

    @property
    def is_attached(self) -> bool:
        """Whether that channel is open."""
        return self._channel is not None and self._channel.closed is None

    def attached(self, channel: Channel, outgoing: ClientChannel) -> None:
        """Requests leave by this channel from now on."""
        self._channel = channel
        self._send = channel.connection.send
        self._ledger = Confirms()
        self._one_way = 0
        self.outgoing = outgoing
        channel.on_confirm = self._on_confirm

    def detached(self) -> list[Pending]:
        """The channel has ended; return the calls whose requests were not confirmed on it."""
        unconfirmed = self._ledger.open()
        self._ledger = Confirms()
        self._one_way = 0
        return unconfirmed

    # -- requests -----------------------------------------------------------------------------

    def publish(self, call: Pending, timeout: float, body: Body, headers: bytes) -> None:
        """Send the request of a call.

        :param timeout: seconds until its deadline.
        :param headers: its headers, with those that all calls of its `Request` have.
        """
        request = call.request
        if timeout != self._timeout:  # calls that follow each other mostly have the same
            self._timeout = timeout
            self._milliseconds = int(timeout * 1000) or 1
        milliseconds = self._milliseconds
        self._send(
            request.packer.pack(
                call.id.encode(),
                time.time_ns() // 1_000_000 + milliseconds,
                ONLY_IF_FREE if request.if_busy_fail else milliseconds,
                body,
                headers,
            )
        )
        call.number = self._ledger.add(call)
        if request.one_way:
            self._one_way += 1

    def is_unconfirmed(self, call: Pending) -> bool:
        """Whether the broker is not known to have the request of this call."""
        return call.state is State.UNSENT or self._ledger.noted(call.number) is call

    @property
    def unconfirmed(self) -> int:
        """How many publishes the broker has neither confirmed nor refused."""
        return len(self._ledger)

    async def all_answered(self) -> None:
        """Return when the broker has confirmed or refused everything published on this channel."""
        channel = self.channel
        # Confirms are the hot path: they set no event.
        while self._ledger and channel.closed is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        if ok and not self._one_way:
            self._ledger.confirm(number, multiple)
            return
        for call in self._ledger.settle(number, multiple):
            is_one_way = call.request.one_way
            self._one_way -= is_one_way
            if not ok:
                self._on_refused(call)
            elif is_one_way and (call.number <= number or not number):
                self._on_taken(call)  # else it was published again since
