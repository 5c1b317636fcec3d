"""The messages between a server and a worker process that streams, over their pipe.

The server asks for one item after the other (`Step.NEXT`), or has the handler closed (`CLOSE`).
With each message it sends the call's deadline, which moves once the caller has heard of the stream.
A handler that takes an upload asks the server for each item of it (`Mark.TAKING`), and gets a pair:
whether there is one, and the item, or the error that it is to raise, or None after the last one.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol

Outcome = tuple[bool, Any]
"""Whether a step succeeded; and its value or its exception."""

_END: Final = object()


class Step(Enum):
    """The messages of a server to a worker that streams."""

    NEXT = "next"
    """Make the next item."""
    CLOSE = "close"
    """Close the handler: no more items are wanted."""


class Mark(Enum):
    """A mark for something that is not sent itself."""

    UPLOAD = "upload"
    """Among the arguments: the upload."""
    TAKING = "taking"
    """In place of an answer: the handler wants the next item of the upload."""
    END = "end"
    """In place of an item: there are no more."""


class Asks(Protocol):
    """The worker's end of the pipe."""

    def send(self, said: bytes) -> None:
        """Send a message that is not the outcome of the call."""

    def hear(self) -> Any:
        """The server's answer.

        :raises EOFError: if it is gone.
        """


class UploadInWorker(Iterator[Any]):
    """The upload of a caller, for a handler in a worker process."""

    def __init__(self, pipe: Asks) -> None:
        self._pipe = pipe

    def __next__(self) -> Any:
        self._pipe.send(pickle.dumps(Mark.TAKING))
        ok, item = self._pipe.hear()
        if ok:
            return item
        raise StopIteration if item is None else item


def with_upload(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], pipe: Asks
) -> Callable[[], Any]:
    """Bind a handler to its arguments, with the upload in place of its mark."""

    def real(value: Any) -> Any:
        return UploadInWorker(pipe) if value is Mark.UPLOAD else value

    given = {name: real(value) for name, value in kwargs.items()}
    return partial(function, *map(real, args), **given)


def stream(
    begin: Callable[[], Iterator[Any]],
    answer: Callable[[Outcome], bytes],
    pipe: Asks,
    bound: Callable[[float], None],
) -> Outcome:
    """In a worker: make items as they are asked for; return the outcome.

    :param begin: makes the iterator.
    :param answer: packs the answer with an item.
    :param bound: is told the call's deadline, in seconds since 1970.
    """
    items = begin()
    pipe.send(answer((True, None)))
    while True:
        step, deadline = pipe.hear()
        bound(deadline)
        if step is Step.CLOSE:
            break
        item = next(items, _END)
        if item is _END:
            return True, Mark.END
        pipe.send(answer((True, item)))
    close = getattr(items, "close", None)
    if close is not None:
        close()
    return True, Mark.END


def taken(upload: Iterator[Any], portable: Callable[[BaseException], Exception]) -> Outcome:
    """At a server: the next item of an upload, as `UploadInWorker` reads it."""
    try:
        return True, next(upload)
    except StopIteration:
        return False, None
    except asyncio.CancelledError as stopped:  # as a handler in a thread gets it
        return False, asyncio.CancelledError(*stopped.args)
    except Exception as error:  # noqa: BLE001 - the handler is told of any
        return False, portable(error)
