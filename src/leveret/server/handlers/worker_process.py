"""One worker process: started, given calls one by one, and killed by its server.

Workers are spawned, not forked: a fork of a process with threads and an event loop is not safe.
Server and worker exchange pickles, but only here, between a server and its own children: nothing
from a message is ever unpickled.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from leveret.contract import Progress, handler_of, spec_of
from leveret.errors import ContractError, RemoteError
from leveret.server.handlers.worker_pipe import WorkerPipe
from leveret.server.handlers.worker_streams import (
    Mark,
    Outcome,
    Step,
    stream,
    taken,
    with_upload,
)
from leveret.wire.context import CurrentCall, set_current_call
from leveret.wire.error_texts import safe_str

NAME: Final = "leveret worker"
"""The name of each worker process, by which it knows itself while it imports the main module."""
NO_GUARD: Final = 97
"""The exit code of a worker whose main module serves when it is imported."""
_READY: Final = b"ready"
"""The message of a worker that has imported what it needs."""
_EVERY: Final = 1.0
"""Seconds between two checks whether the other process lives."""


Answer = tuple[bool, Any, dict[str, str]]
"""Whether a handler returned; its result, or its exception; and its reply metadata."""


class Worker:
    """One process and the pipe to it, at its server. Methods that take time run in a thread."""

    def __init__(self, service: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._child: Pipe | None = child
        self._process: SpawnProcess = context.Process(
            name=NAME, target=_work, args=(child, service, os.getpid()), daemon=True
        )
        self.alive = True
        self.ready = False
        self.is_open = False
        """Whether it has a handler that streams, and waits between two items of it."""

    def start(self) -> None:
        """In a thread: start it, and return once it has imported what it needs.

        :raises ContractError: if it dies meanwhile.
        """
        assert self._child is not None
        self._process.start()
        self._child.close()
        self._child = None
        if not self.alive:  # killed meanwhile
            self._process.kill()
        try:
            self._receive()
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            raise ContractError(_why_it_died(self._process.exitcode)) from None
        self.ready = True

    def run(
        self,
        call: CurrentCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        upload: Iterator[Any] | None,
    ) -> Answer:
        """In a thread: run one call to its end; `call` gets the handler's reports."""
        return self._ask((call.portable(), args, kwargs), call, upload)

    def begin(
        self,
        call: CurrentCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        upload: Iterator[Any] | None,
    ) -> Answer:
        """In a thread: begin a call that streams."""
        answer = self.run(call, args, kwargs, upload)
        self.is_open = answer[0]
        return answer

    def step(self, step: Step, call: CurrentCall, upload: Iterator[Any] | None) -> Answer:
        """In a thread: the next item of a call that streams, or `Mark.END`."""
        self.is_open = False
        answer = self._ask((step, call.deadline), call, upload)
        self.is_open = answer[0] and answer[1] is not Mark.END
        return answer

    def _ask(self, question: Any, call: CurrentCall, upload: Iterator[Any] | None) -> Answer:
        try:
            self._pipe.send(question)
            while True:
                said = pickle.loads(self._receive())  # noqa: S301 - from our own child
                if isinstance(said, Progress):
                    call.report(said)
                elif said is Mark.TAKING:
                    assert upload is not None
                    self._pipe.send(taken(upload, _portable))
                else:
                    answer: Answer = said
                    return answer
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            error = RemoteError(
                f"the worker process died (exit code {self._process.exitcode})",
                executed="maybe",
            )
            return False, error, {}

    def _receive(self) -> bytes:
        """Its next message. A child of the worker may hold the pipe open after the worker's death.

        :raises EOFError: if it has died.
        """
        while not self._pipe.poll(_EVERY):
            if not self._process.is_alive() and not self._pipe.poll():
                raise EOFError
        return self._pipe.recv_bytes()

    def lives(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def reap(self) -> None:
        """Reap a process that was killed."""
        if self._process.pid is not None:
            self._process.join(1)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.alive = False
        with suppress(ValueError, OSError):
            if self._process.pid is not None:
                self._process.kill()


def _why_it_died(code: int | None) -> str:
    """The error of a worker process that ended before it could take a call, with advice."""
    if code == NO_GUARD:
        return (
            "worker processes (executor='process') import the program's main module anew, and it"
            " serves when it is imported; begin what it does when it is run with"
            ' `if __name__ == "__main__":`'
        )
    return (
        f"a worker process (executor='process') died at its start (exit code {code}); it imports"
        " the program's main module and the service, and standard error says what went wrong there."
        ' What the main module does when it is run must be below `if __name__ == "__main__":`'
    )


def _work(pipe: Pipe, pickled: bytes, parent: int) -> None:
    """Run a worker, from start to end."""
    # Ctrl-C reaches the whole group: the server decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as does systemd's stop
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as does a terminal that closes
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    service, attribute = pickle.loads(pickled)  # noqa: S301 - from our own parent
    spec = spec_of(service).methods[attribute]
    function = handler_of(service, spec)
    with suppress(ConnectionError):  # the server was killed, as the next read says
        pipe.send_bytes(_READY)
    out = WorkerPipe(pipe)
    while True:
        try:
            call, args, kwargs = pipe.recv()
        except (EOFError, ConnectionError):  # a reset: a killed server has left something unread
            return
        call.listen(out.begin())
        set_current_call(call)
        answered = partial(_packed, call)
        try:
            if spec.streams:
                outcome = stream(
                    with_upload(function, args, kwargs, out), answered, out, partial(_bound, call)
                )
            else:
                outcome = True, with_upload(function, args, kwargs, out)()
            answer = answered(outcome)
            del outcome
        except BaseException as error:  # noqa: BLE001 - the parent is told of any
            answer = pickle.dumps((False, _portable(error), call.reply_metadata))
        finally:
            call.end()
            del args, kwargs  # they may be large, and the next call may be long in coming
        try:
            out.answer(answer)
        except OSError:
            return


def _bound(call: CurrentCall, deadline: float) -> None:
    call.deadline = deadline


def _packed(call: CurrentCall, outcome: Outcome) -> bytes:
    return pickle.dumps((*outcome, call.reply_metadata))


def _end_with(parent: int) -> None:
    """End this process, whatever its handler does, if the server was killed."""
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os._exit(1)


def _portable(error: BaseException) -> Exception:
    """The exception in a form that can be unpickled, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"in the worker process:\n{trace}")
    if isinstance(error, Exception):
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))  # noqa: S301 - just pickled
            return error
    portable = RemoteError(safe_str(error), type_name=type(error).__name__, remote_traceback=trace)
    portable.__notes__ = error.__notes__
    return portable
