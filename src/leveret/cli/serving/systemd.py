"""Tells systemd how a server stands: `Type=notify` and `WatchdogSec=` (sd_notify(3)).

Nothing is told where NOTIFY_SOCKET is not set. The watchdog is fed by the event loop: systemd
restarts a process whose loop stands still.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

__all__ = ["SystemManager"]


class SystemManager:
    """Who has started this process, if it wants to know how that stands.

    :param environment: where that is found.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._every = _watchdog(environment) if self._address else 0.0
        """Seconds between two signs of life; 0 for none."""
        self._timer: asyncio.TimerHandle | None = None

    def ready(self) -> None:
        """It serves."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """It drains, or ends for another reason."""
        self._tell("STOPPING=1")

    def watch(self) -> None:
        """Give signs of life from now on, by the running loop."""
        if self._every:
            self._tell("WATCHDOG=1")
            self._timer = asyncio.get_running_loop().call_later(self._every, self.watch)

    def close(self) -> None:
        """Give no more of them."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self, word: str) -> None:
        if self._address:
            # A manager that does not listen must not end a server.
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
                there.setblocking(False)
                there.sendto(word.encode(), self._address)


def _address(given: str) -> str:
    """The address of the socket; "" if there is none that can be used here."""
    if not hasattr(socket, "AF_UNIX") or given[:1] not in {"/", "@"}:
        return ""
    return given.replace("@", "\0", 1) if given.startswith("@") else given


def _watchdog(environment: Mapping[str, str]) -> float:
    """Seconds between two signs of life: twice as many as are asked for."""
    given, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not given.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(given) / 1_000_000 / 2
