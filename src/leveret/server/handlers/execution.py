"""Where handlers run: on the loop, in threads, in processes; and the middleware around them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import asdict, astuple

from leveret.contract import MethodSpec, Service, handler_of
from leveret.server.handlers.streaming import (
    Uploaded,
    UploadedOffTheLoop,
    stream_off_the_loop,
    stream_on_loop,
)
from leveret.server.handlers.threads import ThreadPool
from leveret.wire.context import CurrentCall

CallNext = Callable[[CurrentCall], Awaitable[Any]]
"""The next middleware, or the handler; middleware calls it to go on."""
Middleware = Callable[[CurrentCall, CallNext], Awaitable[Any]]
"""`async def middleware(call, call_next)`: returns the result, usually `await call_next(call)`."""


class Invoked(Protocol):
    """A call whose handler is to run."""

    returned: Any
    """What the handler returned to the middleware around it."""

    def enter(self) -> None:
        """The handler begins now."""

    def send(self, item: Any) -> Awaitable[None] | None:
        """The handler yielded an item; return what to await before the next one, if anything."""
        ...

    async def uploaded(self) -> Any:
        """The next item of the upload.

        :raises StopAsyncIteration: after the last one.
        """


Invoke = Callable[[Struct, CurrentCall, Invoked], Awaitable[Any]]
"""Runs a handler with its arguments."""


class Processes(Protocol):
    """A `ProcessPool`. Its module is imported only if a method needs one, as that is slow."""

    @property
    def upload_mark(self) -> object:
        """Stands for the upload among the arguments."""

    async def run(
        self,
        call: CurrentCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begins: Callable[[], None],
        upload: Iterator[Any] | None = None,
    ) -> Any:
        """Run a handler in a process."""

    async def stream(
        self,
        call: CurrentCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begins: Callable[[], None],
        upload: Iterator[Any] | None,
        send: Callable[[Any], Awaitable[None] | None],
    ) -> None:
        """Send all items that a handler in a process yields."""

    async def warm_up(self) -> None:
        """Start the first process."""

    def close(self) -> None:
        """End all of them."""


class Executor:
    """Runs one method's handler. Others decide how many calls run at a time.

    :param concurrency: how many calls come at a time at most.
    :param middleware: runs around the handler; the first is the outermost.
    """

    def __init__(
        self,
        service: Service,
        spec: MethodSpec,
        concurrency: int,
        middleware: tuple[Middleware, ...] = (),
    ) -> None:
        self.spec = spec
        self.concurrency = concurrency
        """How many calls can run at a time."""
        self.in_thread = spec.executor == "thread" and not spec.streams
        """Whether handlers run in threads, which can be stopped only between two items."""
        plain = not spec.streams and spec.upload is None
        self.enters_at_once = spec.executor == "loop" and not middleware and plain
        """Whether a handler begins as soon as it is invoked."""
        self._handler = handler_of(service, spec)
        self._threads: ThreadPool | None = None
        self._processes: Processes | None = None
        if spec.executor == "thread":
            self._threads = ThreadPool(concurrency, spec.key)
        elif spec.executor == "process":
            self.concurrency = min(concurrency, os.cpu_count() or 1)
            from leveret.server.handlers.processes import ProcessPool  # noqa: PLC0415

            self._processes = ProcessPool(service, spec, self.concurrency)
        self.invoke: Invoke = _compose(middleware, self._invoke(), on_loop=spec.executor == "loop")

    async def start(self) -> None:
        """Prepare what takes time."""
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
        if spec.executor != "loop":
            return self._stream_off_the_loop if spec.streams else self._off_the_loop
        if spec.streams or spec.upload is not None:
            return self._stream_on_loop
        if spec.keyword_only:
            return lambda arguments, _context, _invoked: handler(**asdict(arguments))
        if not spec.parameters.__struct_fields__:
            return lambda _arguments, _context, _invoked: handler()
        return lambda arguments, _context, _invoked: handler(*astuple(arguments))

    async def _stream_on_loop(
        self, arguments: Struct, _context: CurrentCall, invoked: Invoked
    ) -> Any:
        args, kwargs = self._given(arguments, Uploaded(invoked))
        invoked.enter()
        if not self.spec.streams:
            return await self._handler(*args, **kwargs)
        await stream_on_loop(self._handler(*args, **kwargs), invoked)
        return None

    async def _stream_off_the_loop(
        self, arguments: Struct, context: CurrentCall, invoked: Invoked
    ) -> None:
        upload = UploadedOffTheLoop(invoked, asyncio.get_running_loop())
        if self._processes is not None:
            args, kwargs = self._given(arguments, self._processes.upload_mark)
            await self._processes.stream(context, args, kwargs, invoked.enter, upload, invoked.send)
            return
        assert self._threads is not None
        threads, handler, seen = self._threads, self._handler, copy_context()
        args, kwargs = self._given(arguments, upload)
        begun = False

        def begins() -> None:
            nonlocal begun
            if not begun:
                begun = True
                invoked.enter()

        def run(step: Callable[[], Any]) -> Awaitable[Any]:
            return threads.run(lambda: seen.run(_in_thread, context, step, (), {}), begins)

        await stream_off_the_loop(lambda: handler(*args, **kwargs), invoked, run)

    def _given(self, arguments: Struct, upload: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments of the handler.

        :param upload: the upload; ignored if the method has none.
        """
        spec = self.spec
        if spec.keyword_only:
            kwargs = asdict(arguments)
            if spec.upload is not None:
                kwargs[spec.upload.name] = upload
            return (), kwargs
        args = astuple(arguments)
        if spec.upload is not None and spec.upload.position is not None:
            at = spec.upload.position
            args = (*args[:at], upload, *args[at:])
        return args, {}

    async def _off_the_loop(self, arguments: Struct, context: CurrentCall, invoked: Invoked) -> Any:
        upload = None
        if self.spec.upload is not None:
            upload = UploadedOffTheLoop(invoked, asyncio.get_running_loop())
        if self._processes is not None:
            args, kwargs = self._given(arguments, self._processes.upload_mark)
            return await self._processes.run(context, args, kwargs, invoked.enter, upload)
        args, kwargs = self._given(arguments, upload)
        assert self._threads is not None
        handler, seen = self._handler, copy_context()
        # The thread sees current_call() as the handler on the loop does.
        return await self._threads.run(
            lambda: seen.run(_in_thread, context, handler, args, kwargs), invoked.enter
        )


def _in_thread(
    context: CurrentCall, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    context.enter_thread()
    try:
        return handler(*args, **kwargs)
    except StopIteration as error:  # no future takes one (PEP 479 has the like for generators)
        raise RuntimeError("the handler raised StopIteration") from error
    finally:
        context.leave_thread()


class _Run:
    """What the innermost function needs of its call, until the call is over."""

    __slots__ = ("call",)

    def __init__(self, arguments: Struct, invoked: Invoked) -> None:
        self.call: tuple[Struct, Invoked] | None = (arguments, invoked)


_run: Final[ContextVar[_Run]] = ContextVar("leveret_run")


def _compose(middleware: tuple[Middleware, ...], invoke: Invoke, *, on_loop: bool) -> Invoke:
    """Compose the handler and all middleware; the first middleware is the outermost.

    The functions are made once, not for each call. So what belongs to a call bypasses the
    middleware, in a context variable.
    """
    if not middleware:
        return invoke

    async def innermost(context: CurrentCall) -> Any:
        call = _run.get().call
        if call is None:
            raise RuntimeError(f"the call {context.id} of {context.method} is over")
        arguments, invoked = call
        if on_loop:
            invoked.enter()
        result = invoked.returned = await invoke(arguments, context, invoked)
        return result

    call_next: CallNext = innermost
    for outer in reversed(middleware):
        call_next = partial(_around, outer, call_next)
    chain = call_next

    async def run_all(arguments: Struct, context: CurrentCall, invoked: Invoked) -> Any:
        run = _Run(arguments, invoked)
        _run.set(run)
        try:
            return await chain(context)
        finally:
            run.call = None  # a task that runs on keeps the variable

    return run_all


def _around(outer: Middleware, call_next: CallNext, call: CurrentCall) -> Awaitable[Any]:
    return outer(call, call_next)
