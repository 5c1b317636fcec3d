"""The call that a handler works on: for the handler, and for the calls that it makes itself."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from msgspec import Struct, structs
from msgspec.structs import asdict

from leveret.errors import DeadlineExceeded
from leveret.wire.message import Incoming


class CurrentCall:
    """One call, seen from its handler; `current_call()` gives it.

    Its deadline is also the deadline of every call that the handler makes over Leveret.

    :param request: the request.
    :param method: "service.method".
    :param deadline: when the caller stops waiting, in seconds since 1970.
    :param user: whose request it is; None: the user that published it.
    :param arguments: the decoded arguments, for middleware.
    """

    __slots__ = (
        "_arguments",
        "_metadata",
        "_reply_metadata",
        "_request",
        "_user",
        "deadline",
        "method",
    )

    def __init__(
        self,
        request: Incoming,
        method: str,
        deadline: float,
        user: str | None = None,
        arguments: Struct | None = None,
    ) -> None:
        self.method = method
        """ "service.method"."""
        self.deadline = deadline
        """When the caller stops waiting, in seconds since 1970."""
        self._request = request
        self._user = user
        self._arguments = arguments
        self._metadata: dict[str, str] | None = None
        self._reply_metadata: dict[str, str] | None = None

    @property
    def id(self) -> str:
        """The call id, unique per client."""
        return self._request.call_id

    @property
    def arguments(self) -> dict[str, Any]:
        """By parameter name; for middleware, which sees the call before its handler."""
        return {} if self._arguments is None else asdict(self._arguments)

    @property
    def user(self) -> str:
        """The broker's user that the caller logged in as, "" where the request does not say.

        The broker has verified it (https://www.rabbitmq.com/docs/validated-user-id).
        """
        return self._request.user if self._user is None else self._user

    @property
    def caller(self) -> str:
        """The name the caller gave itself (`connect(name=...)`), "" if none.

        Nobody checks it: `user` is who it is.
        """
        return self._request.caller

    @property
    def metadata(self) -> dict[str, str]:
        """What the caller sent with `with_options(metadata=...)`."""
        if self._metadata is None:
            sent = self._request.metadata or {}
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

    @property
    def redelivered(self) -> bool:
        """Whether another server may have begun this call; only idempotent methods see True."""
        return self._request.redelivered or self._request.attempts > 0

    def portable(self) -> CurrentCall:
        """The call for a worker process: without its body and its arguments."""
        request = self._request
        properties = structs.replace(request.delivery.properties, headers=None)
        delivery = structs.replace(request.delivery, body=None, properties=properties)
        request = structs.replace(request, body=None, delivery=delivery)
        return CurrentCall(request, method=self.method, deadline=self.deadline, user=self.user)

    def remaining(self) -> float:
        """The seconds left until the deadline; negative when it has passed."""
        return self.deadline - time.time()

    def __repr__(self) -> str:
        return f"<call {self.id} of {self.method}, {self.remaining():.3f} s left>"


_current: ContextVar[CurrentCall | None] = ContextVar("leveret_current_call", default=None)

find_current_call = _current.get
set_current_call = _current.set


def current_call() -> CurrentCall:
    """The call that the code runs for, in a handler or in what it calls.

    :raises RuntimeError: outside of a handler.
    """
    call = _current.get()
    if call is None:
        raise RuntimeError("there is no current call: current_call() works inside of a handler")
    return call


def within_current_call(timeout: float, method: str) -> float:
    """The timeout of a nested call in seconds: it ends with the call that it is made for.

    :raises DeadlineExceeded: if that call's deadline has passed.
    """
    outer = _current.get()
    if outer is None:
        return timeout
    remaining = outer.remaining()
    if remaining <= 0:
        raise DeadlineExceeded(
            f"the deadline of {outer.method}, which makes this call, has passed",
            where="queue",
            method=method,
        )
    return min(timeout, remaining)
