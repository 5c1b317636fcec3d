"""Sends a handler's progress reports to its caller, from the loop or from any thread.

A handler may report as often as it likes. Only the newest report counts, and at most one is sent
every `REPORTED_EVERY` seconds. The last one of a burst is sent when its time has come, unless the
reply comes first. Nothing here waits, and nothing is kept but the newest report.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from math import inf

from leveret.contract import Progress
from leveret.server.calls.life import Answer, ServerCall, State
from leveret.wire.message import Notice, NoticeKind
from leveret.wire.timing import REPORTED_EVERY


class Reporter:
    """Sends the reports of one call, whose caller asked for them.

    :param loop: the server's event loop.
    """

    __slots__ = ("_call", "_is_due", "_loop", "_newest", "_sent_at", "_told")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: ServerCall) -> None:
        self._loop = loop
        self._call = call
        self._newest: Progress | None = None
        self._told: Progress | None = None
        self._is_due = False
        """Whether a look at the newest report is scheduled."""
        self._sent_at = -inf

    def __call__(self, progress: Progress) -> None:
        """Take a report, in any thread."""
        # In this order, and in the other one in `_look`: so no report is left behind, whichever
        # thread it comes from, though there is no lock.
        self._newest = progress
        if self._is_due:
            return
        self._is_due = True
        if _runs(self._loop):
            self._look()
            return
        try:
            self._loop.call_soon_threadsafe(self._look)
        except RuntimeError:
            pass  # the loop is closed: nobody is told any more

    def _look(self) -> None:
        """Send the newest report, now or when it is time; on the loop."""
        call = self._call
        if call.state is State.ENDED or call.answer is not Answer.OWED:
            return  # and `_is_due` stays: nothing is looked at any more
        rest = self._sent_at + REPORTED_EVERY - self._loop.time()
        if rest > 0:
            self._loop.call_later(rest, self._look)
            return
        self._is_due = False
        progress = self._newest
        if progress is self._told:
            return
        answers = call.source.answers
        notice = Notice(kind=NoticeKind.PROGRESS, progress=progress)
        frames = answers.packer.notice(call.incoming, notice)
        if not frames:
            self._is_due = True  # as above: nobody can be told
            return
        self._sent_at = self._loop.time()
        if answers.notice(frames):
            self._told = progress
        else:  # the socket is full, or the channel has ended and another one is on its way
            self._is_due = True
            self._loop.call_later(REPORTED_EVERY, self._look)


def _runs(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this thread is in the loop."""
    try:
        return get_running_loop() is loop
    except RuntimeError:
        return False
