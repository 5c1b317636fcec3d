"""Worker processes for handlers that burn CPU.

Each worker runs one call at a time, so that a call past its deadline is stopped by killing its
process, which is then replaced (`worker_process.py` is about one of them).

A spawned process imports the program's main module anew. One without `if __name__ == "__main__":`
would serve there, too, and start workers of its own; it is ended at that point, and the server says
what is missing
(https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods).
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from leveret.contract import MethodSpec, Service
from leveret.errors import ContractError
from leveret.server.handlers.worker_process import NAME, NO_GUARD, Answer, Worker
from leveret.server.handlers.worker_streams import Mark, Step
from leveret.wire.context import CurrentCall

CLOSES_WITHIN: Final = 1.0
"""Seconds that a handler in a process has to finish its current item, once its stream was
stopped."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ProcessPool:
    """Processes that run one method of a copy of `service`, one call each.

    :param size: how many calls run at a time at most.
    :raises ContractError: if the service cannot be pickled.
    """

    def __init__(self, service: Service, spec: MethodSpec, size: int) -> None:
        if multiprocessing.current_process().name == NAME:
            raise SystemExit(NO_GUARD)  # in silence: the server that started us tells why
        self.upload_mark = Mark.UPLOAD
        name = spec.key
        try:
            self._service = pickle.dumps((service, spec.attribute))
        except Exception as error:
            raise ContractError(
                f"{name}: a service with executor='process' is copied into its worker processes,"
                f" and this one cannot be pickled: {error}. Open what cannot be copied in the"
                " method itself, or use executor='thread'."
            ) from error
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"leveret-{name}")
        self._warm = False
        self._closed = False
        # Before multiprocessing's own end, which would wait for workers that ignore its SIGTERM.
        atexit.register(self.close)

    async def run(
        self,
        call: CurrentCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begins: Callable[[], None],
        upload: Iterator[Any] | None = None,
    ) -> Any:
        """Return the result, or raise the handler's error; a cancel kills the process of the call.

        A handler with an upload has a moment to end by itself.

        :param begins: called when there is a process for it, before the handler begins.
        :param upload: what `upload_mark` stands for among the arguments, read in a thread.
        :raises ContractError: if there is none, as a new one dies at its start.
        """
        async with self._borrowed() as worker:
            begins()
            patience = 0.0 if upload is None else CLOSES_WITHIN
            answer = await self._in_thread(
                worker, worker.run, call, args, kwargs, upload, patience=patience
            )
        return _value(call, answer)

    async def stream(
        self,
        call: CurrentCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begins: Callable[[], None],
        upload: Iterator[Any] | None,
        send: Callable[[Any], Awaitable[None] | None],
    ) -> None:
        """Send all items that a handler yields, as `run` runs it.

        A stopped handler is closed in its process, between two items. It has a moment to finish its
        current item; then the process is killed.
        """
        async with self._borrowed() as worker:
            begins()
            try:
                answer = await self._in_thread(
                    worker, worker.begin, call, args, kwargs, upload, patience=CLOSES_WITHIN
                )
                _value(call, answer)
                while True:
                    answer = await self._in_thread(
                        worker, worker.step, Step.NEXT, call, upload, patience=CLOSES_WITHIN
                    )
                    item = _value(call, answer)
                    if item is Mark.END:
                        return
                    more = send(item)
                    if more is not None:
                        await more
            finally:
                if worker.is_open and worker.alive:
                    await self._in_thread(worker, worker.step, Step.CLOSE, call, upload)

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Worker]:
        """A worker that is ready, for the duration of a block."""
        worker = self._worker()
        self._busy.add(worker)
        try:
            if not worker.ready:
                await self._in_thread(worker, worker.start)
            yield worker
        finally:
            self._busy.discard(worker)
            if worker.alive and not self._closed:
                self._idle.append(worker)
            else:
                worker.kill()

    async def _in_thread(
        self, worker: Worker, wait: Callable[[Unpack[Ts]], T], *args: *Ts, patience: float = 0.0
    ) -> T:
        """Wait in a thread for what a worker does; a cancel kills the worker.

        :param patience: seconds that it then has to end by itself.
        """
        job = asyncio.get_running_loop().run_in_executor(self._threads, wait, *args)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            try:
                if patience:
                    await asyncio.wait([job], timeout=patience)
            finally:
                if not job.done():
                    worker.kill()
            # The thread ends once its process is dead; what it says no longer matters.
            await asyncio.wait([job])
            if not job.cancelled():
                job.exception()
            raise

    def _worker(self) -> Worker:
        """An idle worker that is alive (the system may have killed it), or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.lives():
                return worker
        return Worker(self._service)

    async def warm_up(self) -> None:
        """Start one worker in advance, so that the first call does not wait for an interpreter.

        :raises ContractError: if it dies before it could take a call.
        """
        if self._warm:
            return
        worker = Worker(self._service)
        self._busy.add(worker)
        try:
            await self._in_thread(worker, worker.start)
        finally:
            self._busy.discard(worker)
        self._idle.append(worker)
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


def _value(call: CurrentCall, answer: Answer) -> Any:
    """The handler's result; its error is raised."""
    ok, value, metadata = answer
    if metadata:
        call.reply_metadata.update(metadata)
    if ok:
        return value
    raise value
