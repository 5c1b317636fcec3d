"""Tests of what a worker that streams and its server say to each other, without processes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from math import inf
from typing import Any

import pytest

from leveret.server.handlers.worker_streams import (
    Mark,
    Outcome,
    Step,
    UploadInWorker,
    stream,
    taken,
    with_upload,
)


class Pipe:
    """The worker's end: says what a server said, and notes what the worker says."""

    def __init__(self, *heard: Any) -> None:
        self.said: list[Any] = []
        self._heard = iter(heard)

    def send(self, said: bytes) -> None:
        self.said.append(pickle.loads(said))

    def hear(self) -> Any:
        return next(self._heard)


def packed(outcome: Outcome) -> bytes:
    return pickle.dumps(outcome)


def numbers(closed: list[bool]) -> Iterator[int]:
    try:
        yield 1
        yield 2
    finally:
        closed.append(True)


def test_items_are_made_as_they_are_asked_for() -> None:
    closed: list[bool] = []
    deadlines: list[float] = []
    pipe = Pipe((Step.NEXT, 5.0), (Step.NEXT, inf), (Step.NEXT, inf))
    assert stream(lambda: numbers(closed), packed, pipe, deadlines.append) == (True, Mark.END)
    assert deadlines == [5.0, inf, inf]
    assert pipe.said == [(True, None), (True, 1), (True, 2)]
    assert closed == [True]


def test_a_handler_that_is_left_is_closed() -> None:
    closed: list[bool] = []
    pipe = Pipe((Step.NEXT, inf), (Step.CLOSE, inf))
    assert stream(lambda: numbers(closed), packed, pipe, lambda _deadline: None) == (True, Mark.END)
    assert closed == [True]
    pipe = Pipe((Step.CLOSE, inf))
    assert stream(lambda: iter([1]), packed, pipe, lambda _deadline: None) == (True, Mark.END)


def test_an_upload_is_asked_for_item_by_item() -> None:
    pipe = Pipe((True, "a"), (True, None), (False, None))
    assert list(UploadInWorker(pipe)) == ["a", None]
    assert pipe.said == [Mark.TAKING] * 3
    with pytest.raises(ValueError, match="broken"):
        next(UploadInWorker(Pipe((False, ValueError("broken")))))


def test_an_upload_stands_where_its_mark_is() -> None:
    def handle(*args: Any, **kwargs: Any) -> list[Any]:
        return [*args, *kwargs.values()]

    found = with_upload(handle, (1, Mark.UPLOAD), {"more": Mark.UPLOAD, "n": 2}, Pipe())()
    assert [found[0], found[3]] == [1, 2]
    assert all(isinstance(upload, UploadInWorker) for upload in found[1:3])


def test_a_server_gives_items_and_errors_and_the_end() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    def portable(error: BaseException) -> Exception:
        return RuntimeError(str(error))

    upload = broken()
    assert taken(upload, portable) == (True, 1)
    ok, error = taken(upload, portable)
    assert (ok, str(error)) == (False, "broken")
    assert isinstance(error, RuntimeError)
    assert taken(iter(()), portable) == (False, None)


def test_a_handler_that_waits_for_an_upload_is_told_that_its_call_was_stopped() -> None:
    def stopped() -> Iterator[int]:
        raise asyncio.CancelledError
        yield 1

    ok, error = taken(stopped(), lambda _error: Exception("not asked for"))
    assert (ok, type(error)) == (False, asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError):
        next(UploadInWorker(Pipe((ok, error))))
