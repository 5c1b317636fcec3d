"""The way back to the callers of one queue: what a call asks of the channel that it came by."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeVar

from leveret.amqp.frames import Frames
from leveret.wire.dialect import ReplyPacker
from leveret.wire.message import Incoming

C_contra = TypeVar("C_contra", contravariant=True)
"""A call, which the way back need not know."""


class Settle(Enum):
    """How a delivery is given up without a reply."""

    ACK = "ack"
    """The broker forgets it."""
    REQUEUE = "requeue"
    """Another server gets it, marked as redelivered."""
    REJECT = "reject"
    """The broker dead-letters it."""


class WayBack(Protocol[C_contra]):
    """The way back of one delivery: sends on the channel that delivered it.

    Its methods do not wait. What the socket does not take is kept in order, and sent later.
    """

    packer: ReplyPacker
    """Packs what is sent there."""
    number: int
    """The channel's number, for which replies are packed."""
    own_user: str
    """The broker's user that this server has there, "" if it is unknown."""
    remembers: bool
    """Whether call ids are unique, so that a reply may be sent again to whoever asks for its id."""

    @property
    def confirms(self) -> bool:
        """Whether the broker confirms what is sent from now on."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the socket takes nothing, or something waits for it."""
        ...

    async def writable(self) -> None:
        """Wait until the socket takes more.

        :raises LeveretError: if the connection ends.
        """

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent: the channel is open."""
        ...

    def reply(self, frames: bytes) -> None:
        """Send a reply, or a question that must arrive."""

    def send_item(self, frames: Frames) -> bool:
        """Send items of a stream; returns whether the socket takes the next one."""
        ...

    def defer(self, callback: Callable[[], None]) -> None:
        """Call back just before the next write, at the end of this pass of the event loop."""

    def notice(self, frames: bytes) -> bool:
        """Send a notice if the socket takes it; returns whether it did."""
        ...

    def repeat(self, name: str, frames: bytes) -> None:
        """Send the reply to a call once more, which was packed for any channel."""

    def repeat_for(self, tag: int, frames: bytes) -> None:
        """Send a reply once more, packed for any channel, and acknowledge this delivery behind it.

        :param frames: b"" if nobody waits for a reply.
        """

    def finish(self, call: C_contra, frames: bytes) -> bool:
        """Send a call's reply and acknowledge its request.

        :returns: False if they wait for the socket; the owner is told when they have been sent.
        """
        ...

    def reject(self, call: C_contra, frames: bytes) -> None:
        """Send a call's reply and have the broker dead-letter its request."""

    def settle(self, tag: int, how: Settle) -> None:
        """Settle a delivery without a reply."""

    def hand_back(
        self,
        call: Incoming,
        seconds: float,
        user: str,
        attempts: int | None,
        placed: Callable[[bool], None] | None = None,
    ) -> bool:
        """Publish a request again in place of this delivery; see `ReplyPacker.copy`.

        :param placed: told whether the copy has a place: at once, or where nobody waits for the
            call once the broker has said so. Without that place it sees to the request.
        :returns: False, and nothing is done, if it cannot be packed.
        """
        ...
