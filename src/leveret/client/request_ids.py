"""The ids of one call's requests, which all begin with the id of the call.

A call usually has one request. A retry, a hedge, or a middleware that calls `call_next` again sends
more. Each needs a unique id. As all begin with the id of the call, they can be found in a log
by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token

from leveret.client.tracing import TracedCall

__all__ = ["RequestIds", "ids_within", "within_call"]


class RequestIds:
    """`first`, then `first.2`, `first.3`, and so on.

    :param first: the id of the call, which no other call has.
    :param sent: how many of its requests have been sent.
    """

    __slots__ = ("_given", "first", "traced")

    def __init__(self, first: str, *, sent: int = 0) -> None:
        self.first = first
        self.traced: TracedCall | None = None
        """Traces the call, if it is traced."""
        self._given = sent

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._given += 1
        return self.first if self._given == 1 else f"{self.first}.{self._given}"


_ids: ContextVar[RequestIds | None] = ContextVar("leveret_request_ids", default=None)


class within_call:  # noqa: N801 - a context, on the path of each call with middleware
    """A context for the middleware of a call, which is on its way to send the call's requests.

    :param traced: traces the call, if it is traced.
    """

    __slots__ = ("_ids", "_token")

    _token: Token[RequestIds | None]

    def __init__(self, call_id: str, traced: TracedCall | None = None) -> None:
        self._ids = RequestIds(call_id)
        self._ids.traced = traced

    def __enter__(self) -> None:
        self._token = _ids.set(self._ids)

    def __exit__(self, *_: object) -> None:
        _ids.reset(self._token)


def ids_within(call_id: str, new_id: Callable[[], str]) -> RequestIds:
    """The ids of the requests of a call that has passed its middleware.

    :param call_id: the current id of the call.
    :param new_id: gives an id to a call that middleware made itself, or kept and sends from
        elsewhere.
    """
    ids = _ids.get()
    return ids if ids is not None and ids.first == call_id else RequestIds(new_id())
