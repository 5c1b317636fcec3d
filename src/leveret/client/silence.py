"""Whether a broker that owes an answer and says nothing is still there.

Heartbeats find a dead peer as well, but take two of their intervals, which is longer than most
deadlines. A client whose calls wait looks at their queues anyway, and a look is always answered.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.transport.connection import Connection

DEAD_AFTER: Final = 5.0
"""Seconds without a byte from the broker, an answer being due, after which it counts as gone."""


class Silence:
    """Since when one client has heard nothing from its broker."""

    def __init__(self) -> None:
        self._owed_since: float | None = None
        self._reads = -1
        self._heard_at = -inf

    def owed(self, now: float) -> None:
        """A question is put; `now` is a time on the loop's clock, as below."""
        if self._owed_since is None:
            self._owed_since = now

    def answered(self) -> None:
        """The broker answered, or the connection is another one."""
        self._owed_since = None

    def is_deadly(self, connection: Connection, now: float) -> bool:
        """Whether it has lasted too long. To be asked several times a second while calls wait."""
        if connection.reads != self._reads:
            self._reads, self._heard_at = connection.reads, now
            return False
        if self._owed_since is None or connection.blocked:  # blocked, it may read nothing for long
            return False
        return now - max(self._owed_since, self._heard_at) > DEAD_AFTER
