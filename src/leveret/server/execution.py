"""Where handlers run: on the loop, in threads, in processes; and the middleware around them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict, astuple

from leveret.contract import Adaptive, MethodSpec, Service, handler_of
from leveret.server.running import Running
from leveret.server.threads import ThreadPool
from leveret.wire.context import CurrentCall, current_call

if TYPE_CHECKING:
    from leveret.server.processes import ProcessPool

CallNext = Callable[[CurrentCall], Awaitable[Any]]
Middleware = Callable[[CurrentCall, CallNext], Awaitable[Any]]
"""`async def middleware(call, call_next)`: returns the result, mostly `await call_next(call)`."""

Invoke = Callable[[Struct], Awaitable[Any]]


class Executor:
    """Runs one method's handler.

    `concurrency` is how many calls it can run at a time, `adaptive` how it is found out how many of
    them are good, if it is. `begins_at_once`: each call that is invoked has a place; else it waits
    for one, and its `entered` says when it has it.

    :param shared: whether several consumers bring calls, each as many as are to run in all.
    """

    def __init__(
        self,
        service: Service,
        spec: MethodSpec,
        concurrency: int,
        adaptive: Adaptive | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.spec = spec
        self.begins_at_once = spec.executor == "loop" and not shared
        self.adaptive = adaptive
        self.concurrency = concurrency
        self.stops_when_cancelled = spec.executor != "thread"
        self._handler = handler_of(service, spec)
        self._places = asyncio.Semaphore(concurrency)
        self._threads: ThreadPool | None = None
        self._processes: ProcessPool | None = None
        if spec.executor == "thread":
            self._threads = ThreadPool(concurrency, spec.key)
        elif spec.executor == "process":
            self.concurrency = min(concurrency, os.cpu_count() or 1)
            # Slow to import, and needed by few services.
            from leveret.server.processes import ProcessPool  # noqa: PLC0415

            self._processes = ProcessPool(service, spec, self.concurrency)
        self.invoke: Invoke = self._invoke()

    async def start(self) -> None:
        """Make ready what takes time."""
        if self._processes is not None:
            await self._processes.warm_up()

    def close(self) -> None:
        """End threads and processes. A thread that still runs its handler ends after it."""
        if self._threads is not None:
            self._threads.close()
        if self._processes is not None:
            self._processes.close()

    def _invoke(self) -> Invoke:
        handler, spec = self._handler, self.spec
        if spec.executor == "loop":
            on_the_loop: Invoke = lambda arguments: handler(*astuple(arguments))  # noqa: E731
            if spec.keyword_only:
                on_the_loop = lambda arguments: handler(**asdict(arguments))  # noqa: E731
            elif not spec.parameters.__struct_fields__:
                on_the_loop = lambda _arguments: handler()  # noqa: E731
            return on_the_loop if self.begins_at_once else partial(self._in_turn, on_the_loop)
        return self._off_the_loop

    async def _in_turn(self, on_the_loop: Invoke, arguments: Struct) -> Any:
        async with self._places:
            running_call().enter()
            return await on_the_loop(arguments)

    async def _off_the_loop(self, arguments: Struct) -> Any:
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        if self.spec.keyword_only:
            kwargs = asdict(arguments)
        else:
            args = astuple(arguments)
        begins = running_call().enter
        if self._processes is not None:
            return await self._processes.run(args, kwargs, begins)
        assert self._threads is not None
        # The thread sees current_call() as the handler on the loop does.
        return await self._threads.run(
            partial(copy_context().run, _in_thread, self._handler, args, kwargs), begins
        )


def _in_thread(handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return handler(*args, **kwargs)
    except StopIteration as error:  # no future takes one (PEP 479 has the like for generators)
        raise RuntimeError("the handler raised StopIteration") from error


def compose(middleware: tuple[Middleware, ...], executor: Executor) -> Invoke:
    """One function out of the handler and all middleware; the first of them is the outermost."""
    invoke = executor.invoke
    if not middleware:
        return invoke

    async def innermost(call: CurrentCall) -> Any:
        assert isinstance(call, Running)
        assert call.struct is not None
        if executor.begins_at_once:
            call.enter()
        call.returned = await invoke(call.struct)
        return call.returned

    call_next: CallNext = innermost
    for outer in reversed(middleware):
        call_next = partial(_around, outer, call_next)
    chain = call_next

    async def run(arguments: Struct) -> Any:
        # Set by the consumer just before: the call that this task is for.
        call = running_call()
        call.struct = arguments
        return await chain(call)

    return run


def running_call() -> Running:
    """The call of the task that this runs in."""
    call = current_call()
    assert isinstance(call, Running)
    return call


def _around(outer: Middleware, call_next: CallNext, call: CurrentCall) -> Awaitable[Any]:
    return outer(call, call_next)
