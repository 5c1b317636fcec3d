"""Records of calls that ended and are not in any sum yet.

To add a call to a dozen sums costs a server as much as to decode its request. So a call that ends
leaves a record, and the records of many calls are added together: when there are `BATCH` of them,
and when somebody asks for a sum.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

BATCH: Final = 256
"""How many records are kept at most. More would hardly make a call cheaper: to add up a batch costs
as much as to add up some twenty records more."""


class Uncounted(Generic[T]):
    """Records in the order in which they came.

    Who has one appends to `records`, in one thread, and calls `count_some` when there are `BATCH`.
    Any thread may call `count`.

    :param count: adds a batch to the sums. It is called by one thread at a time.
    :param counting: a lock that is shared with others whose batches go to the same sums.
    """

    __slots__ = ("_count", "_counting", "records")

    def __init__(
        self, count: Callable[[list[T]], None], counting: threading.Lock | None = None
    ) -> None:
        self.records: list[T] = []
        """It is the same list always, so that a record is never lost between two."""
        self._count = count
        self._counting = counting or threading.Lock()

    def count_some(self) -> None:
        """Add records to the sums, unless that goes on already.

        It never waits: a finalizer, which may leave a record as well, can run in the middle.
        """
        self._take(blocking=False)

    def count(self) -> None:
        """Add all records to the sums."""
        self._take(blocking=True)

    def _take(self, *, blocking: bool) -> None:
        if not self._counting.acquire(blocking=blocking):
            return  # whoever counts now, or next, counts these
        try:
            number = len(self.records)  # one may be added at any moment, after these
            batch = self.records[:number]
            del self.records[:number]
            if batch:
                self._count(batch)
        finally:
            self._counting.release()
