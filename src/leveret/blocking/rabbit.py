"""`Rabbit`: calls for code without asyncio, over one connection that all its threads share."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing.util import Finalize, register_after_fork
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, Unpack, cast, overload
from weakref import WeakSet

from leveret.blocking.loop_thread import (
    LoopThread,
    closed_before,
    wait_for_those_that_leave,
)
from leveret.blocking.serving import Serving
from leveret.blocking.surroundings import check_surroundings
from leveret.client.caller import Caller
from leveret.client.discovered import DiscoveredService
from leveret.client.options import GivenOptions
from leveret.client.plain import PlainRemote
from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.survey import Pong, StatsSurvey, Survey
from leveret.client.verbs.answers import Answers
from leveret.client.verbs.ask_all import STALL
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.pipe_types import MakesPipes
from leveret.client.verbs.start import DAY
from leveret.contract import Service
from leveret.errors import ConnectionLost
from leveret.of_one_process import OfOneProcess
from leveret.rabbit import Rabbit as AsyncRabbit
from leveret.server.options import GivenServeOptions
from leveret.server.server import Server
from leveret.transport.link import State
from leveret.wire.stats import ServerCalls, ServerIdentity

__all__ = ["Rabbit"]

P = ParamSpec("P")
S = TypeVar("S", bound=Service)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

_END: Final = object()
_NO_CALL: Final[Any] = object()
"""Not None, which a caller may give by mistake."""


class Rabbit(OfOneProcess):
    """A connection to RabbitMQ for threads that have no event loop; `connect` makes one.

    Remotes are those of `leveret.connect()`: their methods give awaitables, which `run` waits for.
    Deadline and metadata of a current call are those of the thread that makes a call. All threads
    of a process share one connection. A forked process makes one of its own at its first use.
    """

    def __init__(self, rabbit: AsyncRabbit) -> None:
        self._rabbit = rabbit
        self._thread = LoopThread("leveret", rabbit.leave_to_parent)
        weakref.finalize(self, self._thread.leave, rabbit.close).atexit = False
        _open.add(self)

    # -- the connection ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<blocking {self._rabbit!r}>"

    def open(self) -> None:
        """Connect, and wait for that. Without it the first call connects.

        :raises ConnectionLost: if no broker can be reached.
        :raises Unauthenticated: if the broker refuses user and password.
        :raises PermissionDenied: if the user may not use the vhost.
        :raises RuntimeError: where an event loop runs in this thread; under gevent or eventlet.
        """
        self._thread.run(self._opened())

    def close(self) -> None:
        """End pending calls, close the connection, end the thread. Twice is fine.

        What is used afterwards connects again.
        """
        if self._thread.runs:
            check_surroundings()
            self._thread.stop(self._rabbit.close)

    @property
    def state(self) -> State:
        """The state of its connection: connecting, connected, reconnecting or closed."""
        return self._rabbit.state if self._thread.runs else State.CLOSED

    # -- waiting ---------------------------------------------------------------------------------

    @overload
    def run(self, call: Awaitable[A], /) -> A: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def run(self, a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
    @overload
    def run(self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
    @overload
    def run(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /
    ) -> tuple[A, B, C, D]: ...
    @overload
    def run(self, *calls: Awaitable[T]) -> tuple[T, ...]: ...
    def run(self, *calls: Awaitable[Any]) -> Any:
        """Wait for a call: `rabbit.run(fibonacci.fib(30))`; of several, which run at once, for all.

        If one of several fails, the others are cancelled. Ctrl-C cancels all, at their servers too.

        :returns: the result; of several calls a tuple.
        :raises CallError: whatever a call raises.
        :raises RuntimeError: where an event loop runs in this thread; under gevent or eventlet.
        """
        coroutine = self._opened(calls[0]) if len(calls) == 1 else self._all(calls)
        try:
            return self._thread.run(coroutine)
        except BaseException:
            _drop(*calls)
            for call in calls:
                _check(call, "run")
            raise

    def submit(self, call: Awaitable[T]) -> Future[T]:
        """Begin a call: its future has the result, and to cancel it cancels the call."""
        _check(call, "submit")
        return self._thread.submit(self._opened(call), over=partial(_drop, call))

    def each(self, items: AsyncIterator[T]) -> Generator[T, None, None]:
        """Wait for one item of a stream after the other: `for item in rabbit.each(feed.watch(3))`.

        To leave the loop early cancels the stream at its server, and so does `close()` of what
        this returns.

        :raises CallError: that the stream ended with.
        :raises TypeError: at once, for what is no stream.
        """
        if not hasattr(items, "__anext__"):
            _drop(items)
            raise TypeError(
                "each takes a stream, as in rabbit.each(feed.count(3)), and run a call; each got"
                f" {items!r:.100}"
            )
        return self._each(items)

    def _each(self, items: AsyncIterator[T]) -> Generator[T, None, None]:
        try:
            while True:
                item = self._thread.run(self._next(items))
                if item is _END:
                    return
                yield cast("T", item)
        finally:
            # The garbage collector may be who leaves, in any thread: nothing here waits.
            close = getattr(items, "aclose", None)
            if close is not None and self._thread.runs:
                with suppress(ConnectionLost):  # closed just now, and the stream with it
                    self._thread.submit(close())

    async def _next(self, items: AsyncIterator[T]) -> T | object:
        await self._opened()
        try:
            return await anext(items)
        except StopAsyncIteration:
            return _END

    async def _opened(self, call: Awaitable[Any] = _NO_CALL) -> Any:
        """What a call gives, over a connection that is open or is opened now."""
        if not self._thread.is_loop_of_now(asyncio.get_running_loop()):
            _drop(call)
            raise closed_before()  # not to connect again in a loop that ends
        if self._rabbit.is_unopened:
            await self._rabbit
        return None if call is _NO_CALL else await call

    async def _all(self, calls: tuple[Awaitable[Any], ...]) -> tuple[Any, ...]:
        tasks = [asyncio.ensure_future(self._opened(call)) for call in calls]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    # -- calling ---------------------------------------------------------------------------------

    def remote(self, contract: Callable[..., S]) -> S:
        """A remote of a service: `run` waits for the calls of its methods.

        :raises ContractError: if `contract` is no service class or has no methods.
        """
        return self._rabbit.remote_of(contract)

    def call(self, method: str, /, **arguments: Any) -> Any:
        """Call "service.method" without its contract, and wait for the result.

        :raises CallError: as any remote call does; a declared error comes as `RemoteError`.
        """
        return self.run(self._caller.call(method, **arguments))

    def stream(self, method: str, /, **arguments: Any) -> Generator[Any, None, None]:
        """The items that "service.method" streams, without its contract.

        :raises CallError: that the stream ended with.
        """
        stream: RemoteStream[Any] = self._caller.stream(method, **arguments)
        return self.each(stream)

    def discover(self, service: str, *, timeout: float = 5.0) -> DiscoveredService:
        """Make a remote of a service without its class; see `leveret.Rabbit.discover`."""
        return self.run(self._caller.discover(service, timeout=timeout))

    def send(
        self, method: Callable[P, Awaitable[object]]
    ) -> Callable[P, Coroutine[Any, Any, None]]:
        """One-way requests: `rabbit.run(rabbit.send(audit.record)(event))`.

        See `leveret.Rabbit.send`, also for what follows.
        """
        return self._caller.send(method)

    def start(
        self, method: Callable[P, Awaitable[T]], *, key: str, keep: float = DAY
    ) -> Callable[P, Coroutine[Any, Any, CallHandle[T]]]:
        """Calls that outlive this process: `rabbit.run(rabbit.start(report.make, key="a")(7))`."""
        return self._caller.start(method, key=key, keep=keep)

    def attach(self, method: Callable[P, Awaitable[T]], key: str) -> CallHandle[T]:
        """The call that was started with this key; `run` waits for what its methods give."""
        return self._caller.attach(method, key)

    def ask_all(
        self,
        method: Callable[P, Awaitable[T]],
        *,
        timeout: float | None = None,
        stall: float = STALL,
        allow_effects: bool = False,
    ) -> Callable[P, Coroutine[Any, Any, Answers[T]]]:
        """A call that every server runs: `rabbit.run(rabbit.ask_all(cache.drop)("k"))`."""
        return self._caller.ask_all(
            method, timeout=timeout, stall=stall, allow_effects=allow_effects
        )

    def ask_one(
        self, method: Callable[P, Awaitable[T]], instance: str, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """A call that one server runs: `rabbit.run(rabbit.ask_one(cache.size, "b47af560")())`."""
        return self._caller.ask_one(method, instance, timeout=timeout)

    @property
    def pipe(self) -> MakesPipes:
        """A pipe of methods: `rabbit.run(rabbit.pipe(resize.shrink, stamp.on)(picture))`."""
        return self._caller.pipe

    @overload
    def plain(self, queue: str, **options: Unpack[GivenOptions]) -> PlainRemote[str]: ...
    @overload
    def plain(
        self, queue: str, *, result: type[T], **options: Unpack[GivenOptions]
    ) -> PlainRemote[T]: ...
    def plain(self, queue: str, *, result: Any = str, **options: Unpack[GivenOptions]) -> Any:
        """Servers of the RabbitMQ tutorial's kind: `rabbit.run(rabbit.plain("q").call(30))`.

        See `leveret.Rabbit.plain`, also for what it raises.
        """
        return self._caller.plain(queue, result, options)

    def with_options(self, **options: Unpack[GivenOptions]) -> Caller:
        """What makes remotes with other options, for `run`; see `Service.with_options`."""
        return self._caller.with_options(**options)

    @property
    def _caller(self) -> Caller:
        return self._rabbit.unopened_caller

    # -- serving ---------------------------------------------------------------------------------

    def serving(self, *services: Service, **options: Unpack[GivenServeOptions]) -> Serving:
        """Serve from now on, until the end of a `with` block, `close()` of what this returns, or
        of the connection, which waits 5 s for calls that run: for tests, above all. Production has
        `leveret serve`.

        The options are those of `leveret.Rabbit.serve`, except `signals`. Handlers run in the
        connection's thread if they are `async def`, and in threads of their own if they are `def`.

        :raises ContractError: if a service cannot be served, or an option has an invalid value.
        :raises TopologyError: if a queue exists with other options.
        :raises ConnectionLost: if no broker can be reached.
        :raises RuntimeError: where an event loop runs in this thread; under gevent or eventlet.
        """  # noqa: D205 - one sentence more
        server = self._thread.run(self._served(services, options))

        def close() -> None:
            if self._thread.runs:  # else it was drained as the connection was closed
                self._thread.run(server.close())

        return Serving(close)

    async def _served(self, services: tuple[Service, ...], options: GivenServeOptions) -> Server:
        await self._opened()
        return await self._rabbit.serving(*services, **options)

    # -- looking at servers ----------------------------------------------------------------------

    def servers(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> Survey[ServerIdentity]:
        """Which servers are there; see `leveret.Rabbit.servers`, also for what follows."""
        return self.run(self._rabbit.servers(service, timeout=timeout))

    def ping(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> Survey[Pong]:
        """How long the servers take to answer."""
        return self.run(self._rabbit.ping(service, timeout=timeout))

    def stats(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> StatsSurvey:
        """What the servers have counted since they began."""
        return self.run(self._rabbit.stats(service, timeout=timeout))

    def running_calls(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> Survey[ServerCalls]:
        """Which calls the servers have now."""
        return self.run(self._rabbit.running_calls(service, timeout=timeout))

    def stop_calls(
        self,
        call_ids: Iterable[str],
        service: type[Service] | str | None = None,
        *,
        timeout: float = 1.0,
    ) -> list[str]:
        """Have servers cancel calls, whoever made them."""
        return self.run(self._rabbit.stop_calls(call_ids, service, timeout=timeout))

    def drain_server(self, instance: str, *, timeout: float = 1.0) -> bool:
        """Have a server take no more calls, end those that it has, and stop serving."""
        return self.run(self._rabbit.drain_server(instance, timeout=timeout))


def _check(call: object, verb: str) -> None:
    """:raises TypeError: for what is no call, such as a method that was not called."""
    if not hasattr(call, "__await__"):
        several = ""
        if isinstance(call, list | tuple):
            _drop(*call)
            several = "; of several calls write rabbit.run(*calls)"
        raise TypeError(
            f"{verb} takes a call, as in rabbit.{verb}(fibonacci.fib(30)); got {call!r:.100}"
            f"{several}"
        ) from None


def _drop(*calls: object) -> None:
    """Calls that are not made are not reported as forgotten."""
    for call in calls:
        if inspect.iscoroutine(call) and inspect.getcoroutinestate(call) == inspect.CORO_CREATED:
            call.close()


_open: Final[WeakSet[Rabbit]] = WeakSet()


def _close_all() -> None:
    """The interpreter exits: say goodbye to the broker, in place of a socket that breaks."""
    for rabbit in list(_open):
        try:
            rabbit.close()
        except Exception:  # noqa: BLE001, S110 - nobody is left to be told
            pass
    wait_for_those_that_leave()


def _close_at_end_of_child(_: object) -> None:
    """A forked process of multiprocessing's ends without `atexit`, but with finalizers."""
    Finalize(None, _close_all, exitpriority=0)


atexit.register(_close_all)
register_after_fork(_close_all, _close_at_end_of_child)
