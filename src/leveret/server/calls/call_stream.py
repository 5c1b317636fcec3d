"""What a call at a server asks of its streams: the items that it sends and those that it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from leveret.errors import CallError, InvalidResult


class CallStream(Protocol):
    """The streams of a call."""

    @property
    def count(self) -> int:
        """How many items of its results were sent."""
        ...

    @property
    def taken(self) -> int:
        """How many items of its upload the handler took."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the items of its results that were sent."""
        ...

    @property
    def has_results(self) -> bool:
        """Whether its results stream."""
        ...

    @property
    def failure(self) -> InvalidResult | None:
        """Why it ends, where that is not for the handler to say; None if nothing is wrong."""
        ...

    def begin(self, now: float, on_first: Callable[[], None]) -> None:
        """Its handler begins, at this time on the server's clock.

        :param on_first: is called once, with the first message to the caller.
        """

    def send(self, item: object) -> Awaitable[None] | None:
        """Send an item of the results; return what to await before the next one, if anything.

        :raises InvalidResult: if it does not fit.
        """
        ...

    async def next_uploaded(self, now: Callable[[], float]) -> object:
        """The next item of the upload.

        :raises StopAsyncIteration: after the last one.
        :raises CallError: if it cannot go on.
        """

    def pack_end(self, metadata: Mapping[str, str] | None, *, moved: bool = False) -> bytes:
        """The frames of the end of the results.

        :param moved: whether the handler had not ended.
        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def pack_error(self, error: CallError, metadata: Mapping[str, str] | None) -> bytes:
        """The frames of an error in place of the end.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def finish(self, frames: bytes, now: float) -> None:
        """The handler has ended: send these frames as the end, and keep them until they arrive."""

    def stop(self) -> None:
        """The call is stopped: wake those who wait for its caller."""
