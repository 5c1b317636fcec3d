"""The client's end of one upload: what is sent, and what waits until more may be sent.

Each message is kept until the server has acknowledged it. So a message that cannot be sent now, or
is lost, is sent again: when there is a channel for it, or when the server asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from leveret.body_parts import Body
from leveret.streaming import Credit, SendingHalf, SendingState


class Packs(Protocol):
    """Packs the messages of one upload."""

    def pack(self, kind: str, number: int, body: Body = b"") -> bytes:
        """Pack the frames of one message."""
        ...


class Sends(Protocol):
    """The channel that uploads leave by."""

    @property
    def largest(self) -> int:
        """Bytes of the largest item that it takes at this moment."""
        ...

    def send(self, frames: bytes, /) -> None:
        """Send frames if there is a channel; otherwise have one opened."""


class Upload:
    """The upload of one call.

    :param packer_for: makes the packer for the server that has the call.
    """

    __slots__ = (
        "_half",
        "_packer",
        "_packer_for",
        "_port",
        "_waiter",
        "is_drawn",
        "is_over",
        "sending",
    )

    def __init__(self, port: Sends, packer_for: Callable[[str], Packs]) -> None:
        self.is_over = False
        """Whether the call has ended, so that nothing more is sent."""
        self.is_drawn = False
        """Whether items were drawn from its source."""
        self.sending: asyncio.Task[None] | None = None
        """The task that draws the items from their source; it is cancelled when the call ends."""
        self._half: SendingHalf[bytes] = SendingHalf()
        self._port = port
        self._packer_for = packer_for
        self._packer: Packs | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def half(self) -> SendingHalf[bytes]:
        """The rules by which it sends."""
        return self._half

    @property
    def largest(self) -> int:
        """Bytes of the largest item that can be sent at this moment."""
        return self._port.largest

    @property
    def is_done(self) -> bool:
        """Whether the server has all of it, and its end."""
        return self._half.state is SendingState.DONE

    def begin(self, server: str) -> None:
        """A server has the call, and is sent the whole upload."""
        self._packer = self._packer_for(server)

    def credited(self, credit: Credit) -> None:
        """The server says what it has received, and how much more it takes."""
        try:
            again = self._half.credit(credit)
        except ValueError:
            return  # it has what was never sent
        self._send(again)
        self._wake()

    async def room(self) -> None:
        """Wait until one more item may be sent, or the call has ended."""
        while not (self._half.may_send or self.is_over):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def add(self, body: Body) -> None:
        """Send the next item."""
        half = self._half
        frames = self._pack("item", half.number + 1, body)
        half.add(frames, len(body))
        self._port.send(frames)

    def end(self) -> None:
        """Send the end."""
        if self._half.state is SendingState.OPEN:
            frames = self._pack("end", self._half.number)
            self._half.end(frames)
            self._port.send(frames)

    def say(self) -> None:
        """Tell the server that the client is there, and what it sent."""
        if self._half.state is SendingState.OPEN and self._packer is not None:
            self._port.send(self._pack("progress", self._half.number))
        else:
            self.send_again()

    def send_again(self) -> None:
        """Send again all that the server has not acknowledged."""
        self._send(self._half.unacknowledged())

    def refused(self, size: int) -> int:
        """Take back the first message of at least so many bytes, which the broker does not take.

        :returns: the number of its item; 0 if there is none.
        """
        if not self._half.take_back(lambda frames: len(frames) >= size):
            return 0
        return self._half.number + 1

    def stop(self) -> None:
        """The call has ended: send nothing more."""
        if not self.is_over:
            self.is_over = True
            self._half.leave()
            self._wake()
            if self.sending is not None:  # its source may wait for a long time
                self.sending.cancel()

    def _pack(self, kind: str, number: int, body: Body = b"") -> bytes:
        assert self._packer is not None, "nothing is sent before a server has the call"
        return self._packer.pack(kind, number, body)

    def _send(self, messages: list[bytes]) -> None:
        for frames in messages:
            self._port.send(frames)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
