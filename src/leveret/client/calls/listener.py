"""Gives a server's progress reports to the function that the caller gave (`on_progress`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import copy_context

from leveret.contract import Progress
from leveret.wire.log_fields import fields_of_method

log = logging.getLogger("leveret.client")

OnProgress = Callable[[Progress], object]
"""The caller's function: a plain one, called on the event loop."""


class Listener:
    """Calls a caller's function for one request: in order, and never once the call is over.

    Each report is a callback of the event loop. asyncio runs callbacks in order, so reports that
    came before the reply are delivered before the task that awaits the reply goes on. The function
    sees the context variables of the caller.

    :param method: "service.method", for the log.
    """

    __slots__ = ("_context", "_loop", "_method", "_on_progress")

    def __init__(
        self, on_progress: OnProgress, loop: asyncio.AbstractEventLoop, method: str
    ) -> None:
        self._on_progress: OnProgress | None = on_progress
        self._loop = loop
        self._method = method
        self._context = copy_context()

    def heard(self, progress: Progress) -> None:
        """A report of the server has arrived."""
        self._loop.call_soon(self._tell, progress, context=self._context)

    def stop(self) -> None:
        """Nobody waits for the call any more."""
        self._on_progress = None

    def _tell(self, progress: Progress) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress)
        except Exception:
            log.exception(
                "%s: on_progress failed", self._method, extra=fields_of_method(self._method)
            )
