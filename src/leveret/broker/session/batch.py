"""Work that the reads of one pass of the event loop leave for its end.

One pass may bring reads of many clients. What they cause leaves in one write per client, and the
confirms of what a channel published in one frame.
"""

from __future__ import annotations

from collections.abc import Callable

_Action = Callable[[], None]


class Batch:
    """Callbacks that are due at the end of a pass; each is called once and then forgotten."""

    __slots__ = ("cancels", "confirms", "writes")

    def __init__(self) -> None:
        self.writes: list[_Action] = []
        """One for each client that has something to be sent."""
        self.confirms: list[_Action] = []
        """One for each channel that owes publisher confirms."""
        self.cancels: list[_Action] = []
        """One for each consumer whose queue was deleted."""

    def send_confirms(self) -> None:
        """Have each channel send the confirms that it owes."""
        confirms, self.confirms = self.confirms, []
        for confirm in confirms:
            confirm()

    def send_cancels(self) -> None:
        """Send basic.cancel to the consumers whose queue was deleted.

        It comes after the answer to the client that deleted the queue.
        """
        cancels, self.cancels = self.cancels, []
        for cancel in cancels:
            cancel()

    def write(self) -> None:
        """Write what each client is to be sent. This may cause more writes."""
        writes, self.writes = self.writes, []
        for write in writes:
            write()
