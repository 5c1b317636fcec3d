"""A worker's reports come one at a time, and none of them after the answer to its call."""

from __future__ import annotations

import pickle
import threading
import time
from typing import Any

import pytest

from leveret.contract import Progress
from leveret.server.handlers.worker_pipe import WorkerPipe


class Pipe:
    """Writes down what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.is_broken = False

    def recv(self) -> Any:
        return "heard"

    def send_bytes(self, buf: bytes, /) -> None:
        if self.is_broken:
            raise BrokenPipeError
        self.sent.append(pickle.loads(buf))


class Timer:
    """In place of `threading.Timer`: fires when the test says so."""

    made: list[Timer]

    def __init__(self, _seconds: float, function: Any) -> None:
        self.daemon = False
        self.cancelled = False
        self.function = function
        Timer.made.append(self)

    def start(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(threading, "current_thread", lambda: self)
            self.function()


@pytest.fixture(autouse=True)
def no_timer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    Timer.made = []
    monkeypatch.setattr(threading, "Timer", Timer)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)


def report(text: str) -> Progress:
    return Progress(text=text)


def test_of_a_burst_the_first_and_the_last_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe()
    tell = WorkerPipe(pipe).begin()
    for text in "abcd":
        tell(report(text))
    assert pipe.sent == [report("a")]
    (timer,) = Timer.made
    assert timer.daemon
    timer.fire(monkeypatch)
    assert pipe.sent == [report("a"), report("d")]


def test_no_report_follows_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe()
    out = WorkerPipe(pipe)
    tell = out.begin()
    tell(report("a"))
    tell(report("b"))
    out.answer(pickle.dumps("the end"))
    (timer,) = Timer.made
    assert timer.cancelled
    timer.fire(monkeypatch)  # it was about to
    tell(report("of a thread that runs on"))
    assert pipe.sent == [report("a"), "the end"]
    out.begin()(report("of the next call"))
    assert pipe.sent[2:] == [report("of the next call")]


def test_a_report_to_a_server_that_is_gone_does_no_harm() -> None:
    pipe = Pipe()
    pipe.is_broken = True
    out = WorkerPipe(pipe)
    out.begin()(report("a"))
    with pytest.raises(OSError):
        out.answer(b"")


def test_a_worker_says_and_hears_something_while_its_call_goes_on() -> None:
    pipe = Pipe()
    out = WorkerPipe(pipe)
    out.send(pickle.dumps("said"))
    assert (pipe.sent, out.hear()) == (["said"], "heard")
