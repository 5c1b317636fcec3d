"""Worker processes for handlers that burn CPU.

Each worker runs one call at a time, so that a call past its deadline is stopped by killing its
process, which is then replaced. Workers are spawned, not forked: a fork of a process with threads
and an event loop is not safe. What travels between the two is pickled, but only here, between a
server and its own children: nothing from a message is ever unpickled.

A spawned process imports the program's main module anew. One without `if __name__ == "__main__":`
would serve there, too, and start workers of its own; it is ended at that point, and the server says
what is missing (https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods).
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnProcess
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from leveret.contract import MethodSpec, Service, handler_of, spec_of
from leveret.errors import ContractError, RemoteError
from leveret.wire.current import CurrentCall, current_call, set_current_call
from leveret.wire.failures import said

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_NAME: Final = "leveret worker"
"""The name of each worker process, by which it knows itself while it imports the main module."""
_NO_GUARD: Final = 97
"""The exit code of a worker whose main module serves when it is imported."""
_READY: Final = b"ready"
"""What a worker says once it has imported what it needs."""


class ProcessPool:
    """At most `size` processes that run one method of a copy of `service`.

    :raises ContractError: if the service cannot be pickled.
    """

    def __init__(self, service: Service, spec: MethodSpec, size: int) -> None:
        if multiprocessing.current_process().name == _NAME:
            raise SystemExit(_NO_GUARD)  # in silence: the server that started us tells why
        name = spec.key
        try:
            self._service = pickle.dumps((service, spec.attribute))
        except Exception as error:
            raise ContractError(
                f"{name}: a service with executor='process' is copied into its worker processes,"
                f" and this one cannot be pickled: {error}. Open what cannot be copied in the"
                " method itself, or use executor='thread'."
            ) from error
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"leveret-{name}")
        self._places = asyncio.Semaphore(size)
        self._warm = False
        self._closed = False
        # Before multiprocessing's own end, which would wait for workers that ignore its SIGTERM.
        atexit.register(self.close)

    async def run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], begins: Callable[[], None]
    ) -> Any:
        """The result, or what was raised; cancelling this kills the process it runs in.

        :param begins: called when there is a process for it, before that begins.
        :raises ContractError: if there is none, as a new one dies at its start.
        """
        async with self._places:
            return await self._run(args, kwargs, begins)

    async def _run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], begins: Callable[[], None]
    ) -> Any:
        worker = self._worker()
        self._busy.add(worker)
        call = current_call()
        try:
            if not worker.ready:
                await self._in_thread(worker, worker.wait_ready)
            begins()
            ok, value, metadata = await self._in_thread(worker, worker.run, call, args, kwargs)
        finally:
            self._busy.discard(worker)
            if worker.alive and not self._closed:
                self._idle.append(worker)
            else:
                worker.kill()
        if metadata:
            call.reply_metadata.update(metadata)
        if ok:
            return value
        raise value

    async def _in_thread(self, worker: _Worker, wait: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """What a worker does, waited for in a thread; cancelling this kills the worker."""
        job = asyncio.get_running_loop().run_in_executor(self._threads, wait, *args)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            worker.kill()
            # The thread ends once its process is dead; what it says no longer matters.
            await asyncio.wait([job])
            if not job.cancelled():
                job.exception()
            raise

    def _worker(self) -> _Worker:
        """One that is idle and alive (the system may have killed it meanwhile), else a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.lives():
                return worker
        return _Worker(self._service)

    async def warm_up(self) -> None:
        """Start one worker ahead, so that the first call does not wait for an interpreter.

        :raises ContractError: if it dies before it could take a call.
        """
        if self._warm:
            return
        loop = asyncio.get_running_loop()
        worker = await loop.run_in_executor(self._threads, _Worker, self._service)
        self._idle.append(worker)
        await self._in_thread(worker, worker.wait_ready)
        self._warm = True

    def close(self) -> None:
        """End all workers."""
        self._closed = True
        atexit.unregister(self.close)
        for worker in (*self._idle, *self._busy):
            worker.kill()
        for worker in self._idle:
            worker.reap()  # those that are busy are reaped by the threads that wait for them
        self._idle.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, service: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process: SpawnProcess = context.Process(
            name=_NAME, target=_work, args=(child, service, os.getpid()), daemon=True
        )
        self._process.start()
        child.close()
        self.alive = True
        self.ready = False

    def wait_ready(self) -> None:
        """In a thread: return once it has imported what it needs.

        :raises ContractError: if it dies of that.
        """
        try:
            self._pipe.recv_bytes()
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            raise ContractError(_why_it_died(self._process.exitcode)) from None
        self.ready = True

    def run(
        self, call: CurrentCall, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[bool, Any, dict[str, str]]:
        """In a thread: one call, there and back."""
        try:
            self._pipe.send((call.portable(), args, kwargs))
            answer: tuple[bool, Any, dict[str, str]] = pickle.loads(self._pipe.recv_bytes())  # noqa: S301 - from our own child
            return answer
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            error = RemoteError(
                f"the worker process died (exit code {self._process.exitcode})",
                executed="maybe",
            )
            return False, error, {}

    def lives(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def reap(self) -> None:
        """Leave no zombie of a process that was killed."""
        self._process.join(1)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.alive = False
        with suppress(ValueError, OSError):
            self._process.kill()


def _why_it_died(code: int | None) -> str:
    """Why a worker process ended before it could take a call, and what helps."""
    if code == _NO_GUARD:
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
    """A worker's whole life."""
    # Ctrl-C reaches the whole group: the server decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as does systemd's stop
    service, attribute = pickle.loads(pickled)  # noqa: S301 - from our own parent
    function = handler_of(service, spec_of(service).methods[attribute])
    pipe.send_bytes(_READY)
    while True:
        while not pipe.poll(5):
            if os.getppid() != parent:  # killed without a goodbye
                return
        try:
            call, args, kwargs = pipe.recv()
        except EOFError:
            return
        set_current_call(call)
        try:
            answer = pickle.dumps((True, function(*args, **kwargs), call.sent_back()))
        except BaseException as error:  # noqa: BLE001 - the parent is told of any
            answer = pickle.dumps((False, _portable(error), call.sent_back()))
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def _portable(error: BaseException) -> Exception:
    """An exception that arrives whole on the other side, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"in the worker process:\n{trace}")
    if isinstance(error, Exception):
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))  # noqa: S301 - just pickled
            return error
    portable = RemoteError(said(error), type_name=type(error).__name__, remote_traceback=trace)
    portable.__notes__ = error.__notes__
    return portable
