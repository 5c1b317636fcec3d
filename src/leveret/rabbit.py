"""`connect()` and the `Rabbit` it gives: the one object through which a user calls and serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

from leveret.amqp.properties import short_string
from leveret.client.caller import Caller
from leveret.client.calls import Calls
from leveret.client.options import CallOptions
from leveret.client.options import Middleware as ClientMiddleware
from leveret.client.plain import PlainRemote
from leveret.contract import Service
from leveret.errors import InvalidArgument
from leveret.server.execution import Middleware as ServerMiddleware
from leveret.server.server import GRACE, Server
from leveret.server.signals import stop_signals
from leveret.transport.connection import Connection
from leveret.transport.opening import default_name, open_connection
from leveret.transport.url import Address, embedded_name, parse_url

if TYPE_CHECKING:
    from leveret.broker.shared import SharedBroker

S = TypeVar("S", bound=Service)
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_URL: Final = "amqp://guest:guest@localhost/"
MAX_IN_FLIGHT: Final = 10_000
MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024

_NOT_CONNECTED: Final = (
    "not connected: use `async with leveret.connect() as rabbit`,"
    " or `rabbit = await leveret.connect()`"
)


def connect(
    url: str | None = None,
    *,
    name: str | None = None,
    timeout: float | None = None,
    middleware: Iterable[ClientMiddleware] = (),
    max_in_flight: int = MAX_IN_FLIGHT,
    max_message_size: int = MAX_MESSAGE_SIZE,
) -> Rabbit:
    """Connect to RabbitMQ, with `async with`, or with `await` and `rabbit.close()`.

    :param url: `amqp://user:password@host:port/vhost`, or amqps; several hosts with commas between
        them. Default: the environment's LEVERET_URL, else amqp://guest:guest@localhost/.
        `embedded://` is a broker in this process, in memory, that all connections to it in the same
        event loop share: the first one starts it, the end of the last one ends it.
        `embedded://name` is another one for each name.
    :param name: who this is, for servers (`current_call().caller`) and RabbitMQ's list of
        connections. Default: host and process there, nothing for servers.
    :param timeout: seconds a call may take, instead of what each method says.
    :param middleware: around each call: `async def (call, call_next)`, the first outermost.
    :param max_in_flight: how many calls may wait for their replies; further ones fail with `Busy`.
    :param max_message_size: bytes of the largest body to send or to take.
    :raises InvalidURL: at once, if the URL cannot be read.
    :raises ConnectionLost: when entered or awaited, if no broker can be reached.
    :raises Unauthenticated: likewise, if the broker refuses user and password.
    :raises PermissionDenied: likewise, if the user may not use the vhost.
    """
    return Rabbit(
        url or os.environ.get("LEVERET_URL") or DEFAULT_URL,
        name=name,
        timeout=timeout,
        middleware=tuple(middleware),
        max_in_flight=max_in_flight,
        max_message_size=max_message_size,
    )


class Rabbit:
    """A connection to RabbitMQ, for calls and for serving; `connect` makes one."""

    def __init__(
        self,
        url: str,
        *,
        name: str | None,
        timeout: float | None,
        middleware: tuple[ClientMiddleware, ...],
        max_in_flight: int,
        max_message_size: int,
    ) -> None:
        if max_in_flight < 1 or max_message_size < 1:
            raise InvalidArgument("max_in_flight and max_message_size must be at least 1")
        if name:
            short_string(name)
        self._embedded = embedded_name(url)
        self._address = parse_url(url) if self._embedded is None else None
        self._name = name or ""
        self._options = CallOptions().merged({"timeout": timeout})
        self._middleware = middleware
        self._max_in_flight = max_in_flight
        self._max_message_size = max_message_size
        self._connection: Connection | None = None
        self._broker: SharedBroker | None = None
        self._opening = asyncio.Lock()
        self._client: Calls | None = None
        self._calling: Caller | None = None

    # -- the connection -----------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _open(self) -> Self:
        async with self._opening:
            await self._open_once()
        return self

    async def _open_once(self) -> None:
        if self._connection is None:
            address = self._address or await self._start_embedded(self._embedded or "")
            try:
                self._connection = await open_connection(
                    address,
                    name=self._name or default_name(),
                    max_message_size=self._max_message_size,
                )
            except BaseException:
                await self._leave_embedded()
                raise
            self._client = Calls(
                self._connection,
                name=self._name,
                max_in_flight=self._max_in_flight,
                max_message_size=self._max_message_size,
            )
            self._calling = None  # it belongs to the connection before
            try:
                await self._client.start()
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """End pending calls, delete the reply queue, close the connection. Twice is fine."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                if self._client is not None:
                    await self._client.close()
            finally:
                try:
                    await connection.close()
                finally:
                    await self._leave_embedded()

    async def _start_embedded(self, name: str) -> Address:
        from leveret.broker.shared import share  # noqa: PLC0415 - few need a broker in the process

        self._broker = await share(name)
        return parse_url(self._broker.url)

    async def _leave_embedded(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.leave()

    @property
    def _calls(self) -> Calls:
        if self._client is None:
            raise RuntimeError(_NOT_CONNECTED)
        return self._client

    @property
    def _caller(self) -> Caller:
        if self._calling is None:
            self._calling = Caller(self._calls, self._options, self._middleware)
        return self._calling

    @property
    def in_flight(self) -> int:
        """How many calls wait for their replies."""
        return len(self._calls.pending)

    @property
    def late_replies(self) -> int:
        """How many replies were dropped as no call waited for them: late, duplicate, unknown."""
        return self._calls.counters.late

    # -- calling ------------------------------------------------------------------------------

    def remote(self, contract: Callable[..., S]) -> S:
        """A remote of a service: calls to its methods go over the network.

        :raises ContractError: if `contract` is no service class or has no methods.
        """
        return self._caller.remote(contract)

    async def call(self, method: str, /, **arguments: Any) -> Any:
        """Call "service.method" without its contract; arguments and result are plain values.

        :raises CallError: as any remote call does; a declared error comes as `RemoteError`.
        """
        return await self._caller.call(method, **arguments)

    def with_options(self, **options: Any) -> Caller:
        """Remotes and calls by name with other options; `Service.with_options` lists them."""
        return self._caller.with_options(**options)

    @overload
    def plain(self, queue: str, *, timeout: float = ...) -> PlainRemote[str]: ...
    @overload
    def plain(self, queue: str, *, result: type[R], timeout: float = ...) -> PlainRemote[R]: ...
    def plain(self, queue: str, *, result: Any = str, timeout: float = 10.0) -> Any:
        """A server of the RabbitMQ tutorial's kind: text in, text out, on a named queue.

        :param result: the type to read the answer as: str, int, float, bool, ...
        :param timeout: seconds until a call fails with `DeadlineExceeded`.
        """
        return PlainRemote(self._calls, queue, result, timeout)

    # -- serving ------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(
        self,
        *services: Service,
        plain: Mapping[str, str] | None = None,
        grace: float = GRACE,
        middleware: Iterable[ServerMiddleware] = (),
        concurrency: int | None = None,
        send_tracebacks: bool = False,
    ) -> AsyncIterator[Server]:
        """Serve for the length of a block, and drain at its end. The parameters are `serve`'s."""
        server = self._server(
            services, plain, tuple(middleware), concurrency, send_tracebacks=send_tracebacks
        )
        await server.start()
        try:
            yield server
        finally:
            await server.drain(grace)

    async def serve(
        self,
        *services: Service,
        plain: Mapping[str, str] | None = None,
        grace: float = GRACE,
        middleware: Iterable[ServerMiddleware] = (),
        concurrency: int | None = None,
        send_tracebacks: bool = False,
    ) -> None:
        """Serve until SIGINT or SIGTERM, then drain; a second signal cuts the drain short.

        :param services: instances of service classes. One that is an async context manager is
            entered before its first call and left after its last.
        :param plain: queue names to "service.method": methods served by the RabbitMQ tutorial's
            protocol as well, with text bodies.
        :param grace: seconds that running calls get to end in a drain.
        :param middleware: around each handler: `async def (call, call_next)`.
        :param concurrency: calls of each method at a time, instead of what each method says.
        :param send_tracebacks: whether callers get the traceback of an undeclared exception.
        :raises ContractError: if a service cannot be served.
        :raises TopologyError: if a queue exists with other options.
        :raises ConnectionLost: if the connection breaks.
        """
        server = self._server(
            services, plain, tuple(middleware), concurrency, send_tracebacks=send_tracebacks
        )
        with stop_signals(server.hurry) as stopped:
            await server.start()
            try:
                await asyncio.wait((stopped, server.failed), return_when=asyncio.FIRST_COMPLETED)
                if server.failed.done():
                    server.failed.result()
            finally:
                await server.drain(grace)

    def _server(
        self,
        services: tuple[Service, ...],
        plain: Mapping[str, str] | None,
        middleware: tuple[ServerMiddleware, ...],
        concurrency: int | None,
        *,
        send_tracebacks: bool,
    ) -> Server:
        if self._connection is None:
            raise RuntimeError(_NOT_CONNECTED)
        return Server(
            self._connection,
            services,
            name=self._name or default_name(),
            max_message_size=self._max_message_size,
            middleware=middleware,
            concurrency=concurrency,
            send_tracebacks=send_tracebacks,
            plain=plain,
        )


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where that is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
