"""The call that a handler works on: for the handler, and for the calls that it makes itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from copy import copy
from math import inf
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from leveret.contract import Progress
from leveret.errors import DeadlineExceeded
from leveret.wire.message import Incoming
from leveret.wire.progress import progress_of


class CurrentCall:
    """One call, seen from its handler; `current_call()` gives it.

    Its deadline is also the deadline of every call that the handler makes over Leveret. That of a
    call that streams moves once its caller has heard of it. What a handler starts may run on when
    the call is over. Then it is bound by nothing of the call, and this object, where it was kept,
    has neither the arguments nor the body of the request.

    :param request: the request.
    :param method: "service.method".
    :param deadline: when the caller stops waiting, in seconds since 1970.
    :param user: whose request it is; None: the user that published it.
    :param arguments: the decoded arguments, for middleware.
    """

    __slots__ = (
        "_arguments",
        "_ended",
        "_in_thread",
        "_last_progress",
        "_metadata",
        "_reply_metadata",
        "_report",
        "_sent",
        "_total",
        "caller",
        "cursor",
        "deadline",
        "id",
        "method",
        "redelivered",
        "user",
    )

    def __init__(
        self,
        request: Incoming,
        method: str,
        deadline: float,
        user: str | None = None,
        arguments: Struct | None = None,
    ) -> None:
        # The request itself is not kept: a task that runs on for long keeps its current call.
        self.id = request.call_id
        """The call id, unique per client."""
        self.method = method
        """ "service.method"."""
        self.deadline = deadline
        """When the caller stops waiting, in seconds since 1970."""
        self.user = request.user if user is None else user
        """The broker's user that the caller logged in as, "" where the request does not say.

        The broker has verified it (https://www.rabbitmq.com/docs/validated-user-id)."""
        self.caller = request.caller
        """The name the caller gave itself (`connect(name=...)`), "" if none.

        Nobody checks it: `user` is who it is."""
        self.cursor = "" if request.stream is None else request.stream.cursor
        """Where a stream goes on that broke: the cursor of the last item that its caller has
        (`leveret.Item`); "" at the start."""
        self.redelivered = request.redelivered or request.attempts > 0
        """Whether another server may have begun this call; only idempotent methods see True."""
        self._total = deadline if request.stream is None else request.stream.total or inf
        self._sent = request.metadata
        self._arguments = arguments
        self._metadata: dict[str, str] | None = None
        self._reply_metadata: dict[str, str] | None = None
        self._last_progress: Progress | None = None
        self._report: Callable[[Progress], None] | None = None
        self._ended = False  # written by the server alone
        self._in_thread = False  # written by the handler's thread alone

    @property
    def is_over(self) -> bool:
        """Whether its handler has ended. One in a thread cannot be stopped, and may end late."""
        return self._ended and not self._in_thread

    @property
    def arguments(self) -> dict[str, Any]:
        """By parameter name; for middleware, which sees the call before its handler."""
        return {} if self._arguments is None else asdict(self._arguments)

    @property
    def metadata(self) -> dict[str, str]:
        """What the caller sent with `with_options(metadata=...)`."""
        if self._metadata is None:
            sent = self._sent or {}
            self._metadata = {name: text for name, text in sent.items() if isinstance(text, str)}
        return self._metadata

    @property
    def reply_metadata(self) -> dict[str, str]:
        """What goes back with the result; the caller finds it in its `reply_metadata`."""
        if self._reply_metadata is None:
            self._reply_metadata = {}
        return self._reply_metadata

    @property
    def has_reply_metadata(self) -> bool:
        """Whether the handler wrote any."""
        return bool(self._reply_metadata)

    def progress(self, fraction: float | None = None, text: str = "") -> None:
        """Tell the caller how far its call is; the caller sees it by `on_progress`.

        From the event loop, a thread or a worker process, and as often as you like: it never
        waits. The caller is told at most four times a second, the newest report first. After the
        end of the call it does nothing.

        :param fraction: how much is done, from 0 to 1; None where nobody can tell.
        :param text: what is being done, for people; cut to 1,000 characters.
        :raises ValueError: if the fraction is not from 0 to 1.
        :raises TypeError: if the fraction is not a number, or the text is not a text.
        """
        self.report(progress_of(fraction, text))

    @property
    def last_progress(self) -> Progress | None:
        """What the handler reported last; None if nothing yet."""
        return self._last_progress

    def report(self, progress: Progress) -> None:
        """Take a report, and pass it on while the call goes on."""
        if self._ended:
            return
        self._last_progress = progress
        report = self._report  # once: its end may come meanwhile, in another thread
        if report is not None:
            report(progress)

    def listen(self, report: Callable[[Progress], None]) -> None:
        """Have each report passed on to this, in the thread that it comes from."""
        self._report = report

    def end(self) -> None:
        """The server is done with the call, unless its handler runs on in a thread."""
        self._ended = True
        self._report = None
        if not self._in_thread:
            self._arguments = None

    def enter_thread(self) -> None:
        """Its handler begins in a thread."""
        self._in_thread = True

    def leave_thread(self) -> None:
        """Its handler has ended there."""
        self._in_thread = False
        if self._ended:
            self._arguments = None

    def portable(self) -> CurrentCall:
        """The call for a worker process: without its arguments."""
        call = copy(self)
        call._arguments = call._reply_metadata = call._report = None  # noqa: SLF001 - its own class
        return call

    def remaining(self) -> float:
        """The seconds left until the deadline; negative when it has passed."""
        return self.deadline - time.time()

    def remaining_in_all(self) -> float:
        """The seconds left until all of it must be over; `inf` if it streams without such an end.

        `remaining` is less as long as the caller of a stream has not heard of it.
        """
        return self._total - time.time()

    def __repr__(self) -> str:
        return f"<call {self.id} of {self.method}, {self.remaining():.3f} s left>"


_current: ContextVar[CurrentCall | None] = ContextVar("leveret_current_call", default=None)

find_current_call = _current.get
set_current_call = _current.set


def current_call() -> CurrentCall:
    """The call that the code runs for, in a handler or in what it calls.

    :raises RuntimeError: outside of a handler; or once the call is over, in what the handler
        started and what runs on.
    """
    call = _current.get()
    if call is None:
        raise RuntimeError("there is no current call: current_call() works inside of a handler")
    if call.is_over:
        raise RuntimeError(
            f"the call {call.id} of {call.method} is over: what its handler started runs on by"
            " itself, and has no current call any more"
        )
    return call


def within_current_call(timeout: float, method: str) -> float:
    """The timeout of a nested call in seconds: it ends with the call that it is made for.

    A call made by what runs on after its outer call is bound by none.

    :raises DeadlineExceeded: if that call's deadline has passed.
    """
    outer = _current.get()
    if outer is None or outer.is_over:
        return timeout
    remaining = outer.remaining()
    if remaining <= 0:
        late = DeadlineExceeded(
            f"the deadline of {outer.method}, which makes this call, has passed",
            where="queue",
            method=method,
        )
        late.attempts = 0
        raise late
    return min(timeout, remaining)


def total_within_current_call(total: float) -> float:
    """The seconds that a nested stream may take in all: it ends with its outer call.

    A handler that streams may open it before its own caller has heard of the outer stream. The
    deadline that holds until then does not bound the items that follow.
    """
    outer = _current.get()
    return total if outer is None or outer.is_over else min(total, outer.remaining_in_all())
