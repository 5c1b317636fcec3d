"""The ids of one call's requests, which all begin with the id of the call.

A call has one request mostly. A retry, a hedge, or a middleware that calls `call_next` again sends
further ones. Each needs an id that no other has; whoever looks for the call in a log finds them all
by the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from leveret.client.tracing import TracedCall

__all__ = ["RequestIds", "ids_within", "traced_within", "within_call"]


class RequestIds:
    """`first`, then `first.2`, `first.3`, and so on.

    :param first: the id of the call, which no other call has.
    :param sent: how many of its requests were sent.
    """

    __slots__ = ("_given", "first", "traced")

    def __init__(self, first: str, *, sent: int = 0) -> None:
        self.first = first
        self.traced: TracedCall | None = None
        """What traces the call, if anything does."""
        self._given = sent

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._given += 1
        return self.first if self._given == 1 else f"{self.first}.{self._given}"


_ids: ContextVar[RequestIds | None] = ContextVar("leveret_request_ids", default=None)


@contextmanager
def within_call(call_id: str, traced: TracedCall | None = None) -> Iterator[None]:
    """What runs within this is on its way to send the requests of a call: its middleware.

    :param traced: what traces the call, if anything does.
    """
    ids = RequestIds(call_id)
    ids.traced = traced
    token = _ids.set(ids)
    try:
        yield
    finally:
        _ids.reset(token)


def traced_within(call_id: str) -> TracedCall | None:
    """What traces a call that has come through its middleware; None if nothing does.

    :param call_id: what the call is named by now.
    """
    ids = _ids.get()
    return ids.traced if ids is not None and ids.first == call_id else None


def ids_within(call_id: str, new_id: Callable[[], str]) -> RequestIds:
    """The ids of the requests of a call that has come through its middleware.

    :param call_id: what the call is named by now.
    :param new_id: gives one to a call that was not on its way here, as a middleware made it up, or
        kept it and sends it from elsewhere.
    """
    ids = _ids.get()
    return ids if ids is not None and ids.first == call_id else RequestIds(new_id())
