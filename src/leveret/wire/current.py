"""The call that a handler is working on, for the handler and for the calls it makes itself."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from msgspec import Struct, structs
from msgspec.structs import asdict

from leveret.amqp.events import Delivery
from leveret.errors import DeadlineExceeded
from leveret.wire.native import ON_BEHALF_OF, attempts, metadata_of


class CurrentCall:
    """One call, seen from its handler; `current_call()` gives it.

    Its deadline is also the deadline of every call that the handler makes over Leveret.
    """

    returned: Any
    """What the handler gave to the middleware around it; only there once that has happened."""

    __slots__ = (
        "_delivery",
        "_metadata",
        "_reply_metadata",
        "deadline",
        "entered",
        "method",
        "returned",
        "struct",
    )

    def __init__(self, method: str, delivery: Delivery, deadline: float) -> None:
        self.method = method
        """ "service.method"."""
        self.deadline = deadline
        """When the caller stops waiting, in seconds since 1970."""
        self.struct: Struct | None = None
        self.entered = False
        self._delivery = delivery
        self._metadata: dict[str, str] | None = None
        self._reply_metadata: dict[str, str] | None = None

    def enter(self) -> None:
        """Its handler begins now: what fails from here on has run."""
        self.entered = True

    @property
    def id(self) -> str:
        """The call id, unique per client."""
        return self._delivery.properties.correlation_id or ""

    @property
    def arguments(self) -> dict[str, Any]:
        """By parameter name; for middleware, which sees the call before its handler."""
        return {} if self.struct is None else asdict(self.struct)

    @property
    def user(self) -> str:
        """The broker's user that the caller logged in as, "" where the request does not say.

        The broker has verified it (https://www.rabbitmq.com/docs/validated-user-id).
        """
        return self._delivery.properties.user_id or ""

    @property
    def caller(self) -> str:
        """The name the caller gave itself (`connect(name=...)`), "" if none.

        Nobody checks it: `user` is who it is.
        """
        return self._delivery.properties.app_id or ""

    @property
    def metadata(self) -> dict[str, str]:
        """What the caller sent with `with_options(metadata=...)`."""
        if self._metadata is None:
            self._metadata = metadata_of(self._delivery.properties.headers)
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
        return self._delivery.redelivered or attempts(self._delivery.properties.headers) > 0

    def portable(self) -> CurrentCall:
        """What of it a worker process gets: all but the body and the arguments."""
        properties = self._delivery.properties
        headers = dict(properties.headers or {})
        headers.pop(ON_BEHALF_OF, None)
        properties = structs.replace(properties, user_id=self.user or None, headers=headers)
        delivery = structs.replace(self._delivery, body=None, properties=properties)
        return CurrentCall(self.method, delivery, self.deadline)

    def sent_back(self) -> dict[str, str]:
        """The reply metadata so far."""
        return self._reply_metadata or {}

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
    """The timeout of a nested call: it ends with the call that it is made for.

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
