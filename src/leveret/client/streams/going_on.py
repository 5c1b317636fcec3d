"""For how long, and with which pauses, a stream tries to go on at another server. Pure."""

from __future__ import annotations

from typing import Final

from leveret.backoff import Backoff
from leveret.errors import (
    Busy,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    NoServer,
    StreamBroken,
    Unimplemented,
)

__all__ = ["PAUSES", "GoingOn"]

PAUSES: Final = Backoff(first=0.05, most=1.0)
"""In seconds, between two attempts to go on with a stream elsewhere."""
_CURABLE: Final = (
    StreamBroken,
    NoServer,
    Unimplemented,
    Busy,
    ConnectionLost,
    DeadlineExceeded,
    Cancelled,
)
"""Errors that may not come again in a moment, while a stream is to go on elsewhere."""


class GoingOn:
    """The attempts of one stream to go on, from a failure to the next item."""

    def __init__(self) -> None:
        self.resumes = False
        """Whether it resumes a broken stream; otherwise it waits for its first server."""
        self._until = 0.0
        self._tries = 0

    @property
    def is_under_way(self) -> bool:
        """Whether no item has come since the first failure."""
        return bool(self._until)

    def begin(self, now: float, timeout: float) -> None:
        """The stream failed.

        :param now: seconds on a clock that goes on steadily, as in all methods.
        :param timeout: seconds within which it has to go on.
        """
        self._until = now + timeout
        self._tries = 0

    def item_came(self) -> None:
        """It goes on."""
        self._until = 0.0

    def next_attempt(self, failure: BaseException, now: float) -> tuple[float, float] | None:
        """When to send the next request after a failure; None: no more.

        :returns: seconds to wait before it, and seconds that are left for it then.
        """
        left = self._until - now
        pause = PAUSES.pause_within(self._tries, left) if self._tries else 0.0
        if not isinstance(failure, _CURABLE) or left <= 0 or pause is None:
            return None
        self._tries += 1
        return pause, left - pause
