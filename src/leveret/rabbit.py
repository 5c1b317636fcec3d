"""`connect()` and the `Rabbit` it gives: the one object through which a user calls and serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, overload

from leveret.amqp.properties import short_string
from leveret.client.breaker import Breaker
from leveret.client.caller import Caller
from leveret.client.calls.client import Client
from leveret.client.guard import Safeguards
from leveret.client.options import CallOptions, GivenOptions
from leveret.client.options import Middleware as ClientMiddleware
from leveret.client.plain import PlainRemote
from leveret.contract import Hedge, Retry, Service
from leveret.errors import ConnectionLost, InvalidArgument
from leveret.server.options import GivenServeOptions, ServeOptions
from leveret.server.server import Server
from leveret.server.signals import stop_signals
from leveret.transport.address import Address
from leveret.transport.credentials import Credentials
from leveret.transport.link import ConnectionEvent, Link, Reconnect, State, as_reconnect
from leveret.transport.opening import default_name
from leveret.transport.url import embedded_name, parse_url
from leveret.wire.native.topology import declare_exchanges

if TYPE_CHECKING:
    from leveret.broker.shared import SharedBroker

S = TypeVar("S", bound=Service)
R = TypeVar("R")
T = TypeVar("T")

_GOODBYE: Final = 5.0
"""Seconds that a broker has to answer all that is said at the end."""

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
    retry: Retry | None = None,
    hedge: Hedge | float | None = None,
    breaker: Breaker | None = None,
    reconnect: Reconnect | bool = True,
    wait_for_broker: float = 0.0,
    on_connection: Callable[[ConnectionEvent], None] | None = None,
    credentials: Credentials | None = None,
    user_id: str | None = None,
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
    :param retry: a `Retry`: how calls are tried again after a failure, where neither the method nor
        the caller (`with_options`) say. None: not at all.
    :param hedge: likewise for idempotent methods: seconds, or a `Hedge`, after which a second
        request goes beside a slow one. None: never.
    :param breaker: a `Breaker`: when calls of a service that fails are not sent any more, but fail
        at once with `CircuitOpen`, and when the next is tried. None: never.
    :param reconnect: whether and how a connection that breaks is opened again: a `Reconnect`, True
        for its defaults (without end), or False: then pending calls end, and `serve` raises.
    :param wait_for_broker: seconds to go on trying, when entered or awaited, while no broker can be
        reached.
    :param on_connection: called with a `ConnectionEvent` each time that the state changes; must
        return at once.
    :param credentials: gives user and password, `() -> (str, str)`, plain or async; asked anew for
        each connection. Default: those in the URL, else the environment's LEVERET_USERNAME and
        LEVERET_PASSWORD or LEVERET_PASSWORD_FILE, else guest, guest.
    :param user_id: the broker's name for the user, which it verifies, and which servers see as
        `current_call().user`. Needed only where it is not the user that logs in: with a client's
        certificate. "" sends none.
    :raises InvalidURL: at once, if the URL cannot be read.
    :raises InvalidArgument: at once, if an option has a value that cannot be.
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
        safeguards=Safeguards(retry=retry, hedge=hedge, breaker=breaker),
        reconnect=as_reconnect(reconnect),
        wait_for_broker=wait_for_broker,
        on_connection=on_connection,
        credentials=credentials,
        user_id=user_id,
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
        safeguards: Safeguards,
        reconnect: Reconnect,
        wait_for_broker: float,
        on_connection: Callable[[ConnectionEvent], None] | None,
        credentials: Credentials | None,
        user_id: str | None,
    ) -> None:
        if max_in_flight < 1 or max_message_size < 1:
            raise InvalidArgument("max_in_flight and max_message_size must be at least 1")
        if name:
            short_string(name)
        _check_patience(wait_for_broker)
        _check_callable("on_connection", on_connection)
        if iscoroutinefunction(on_connection):
            raise InvalidArgument(
                "on_connection must be a plain function, as nobody awaits it; got an async one, of"
                " which it may make a task"
            )
        _check_callable("credentials", credentials)
        self._embedded = embedded_name(url)
        if self._embedded is not None and (credentials is not None or user_id is not None):
            raise InvalidArgument("embedded:// is a broker of one's own: it has no other users")
        self._address = _address(url, credentials, user_id) if self._embedded is None else None
        self._name = name or ""
        self._options = CallOptions().merged({"timeout": timeout})
        self._middleware = middleware
        self._safeguards = safeguards
        self._max_in_flight = max_in_flight
        self._max_message_size = max_message_size
        self._reconnect = reconnect
        self._patience = wait_for_broker
        self._on_connection = on_connection
        self._link: Link | None = None
        self._broker: SharedBroker | None = None
        self._opening = asyncio.Lock()
        self._client: Client | None = None
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
        if self._link is not None:
            return
        address = self._address or await self._start_embedded(self._embedded or "")
        link = self._link = Link(
            address,
            name=self._name or default_name(),
            max_message_size=self._max_message_size,
            reconnect=self._reconnect,
            prepare=declare_exchanges,
            on_event=self._on_connection,
        )
        try:
            await link.open(patience=self._patience)
            self._client = Client(
                link,
                name=self._name,
                max_in_flight=self._max_in_flight,
                max_message_size=self._max_message_size,
            )
            self._calling = None  # it belongs to the connection before
            patience = max(self._patience, address.connection_timeout)
            async with asyncio.timeout(patience):
                await self._client.start()
        except TimeoutError as error:
            await self.close()
            raise ConnectionLost(
                f"cannot connect to {address}: the connection broke at its start, again and again:"
                f" {link.failure}",
                executed="no",
            ) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End pending calls, delete the reply queue, close the connection. Twice is fine.

        A broker that does not answer is waited for 5 s.
        """
        link, self._link = self._link, None
        if link is not None:
            bound = link.loop.call_later(_GOODBYE, link.abort, "the broker answers no goodbye")
            try:
                if self._client is not None:
                    await self._client.close()
            finally:
                try:
                    await link.close()
                finally:
                    bound.cancel()
                    await self._leave_embedded()

    @property
    def state(self) -> State:
        """Where it stands with its broker: connecting, connected, reconnecting or closed."""
        return State.CLOSED if self._link is None else self._link.state

    async def _start_embedded(self, name: str) -> Address:
        from leveret.broker.shared import share  # noqa: PLC0415 - few need a broker in the process

        self._broker = await share(name)
        return parse_url(self._broker.url)

    async def _leave_embedded(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.leave()

    @property
    def calls(self) -> Client:
        """The calls of this connection from inside, for tests and tools. It may change at any time.

        :raises RuntimeError: if it was never connected.
        """
        if self._client is None:
            raise RuntimeError(_NOT_CONNECTED)
        return self._client

    @property
    def _caller(self) -> Caller:
        if self._calling is None:
            self._calling = Caller(self.calls, self._options, self._middleware, self._safeguards)
        return self._calling

    @property
    def in_flight(self) -> int:
        """How many calls wait for their replies."""
        return self.calls.in_flight

    @property
    def late_replies(self) -> int:
        """How many replies were dropped as no call waited for them: late, duplicate, unknown."""
        return self.calls.late

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

    def with_options(self, **options: Unpack[GivenOptions]) -> Caller:
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
        return PlainRemote(self.calls, queue, result, timeout)

    # -- serving ------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(
        self,
        *services: Service,
        **options: Unpack[GivenServeOptions],
    ) -> AsyncIterator[Server]:
        """Serve for the length of a block, and drain at its end. The parameters are `serve`'s."""
        read = ServeOptions.of(**options)
        server = self._server(services, read)
        await server.start()
        try:
            yield server
        finally:
            await server.drain(read.grace)

    async def serve(
        self,
        *services: Service,
        **options: Unpack[GivenServeOptions],
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
        :param once: where the replies to requests with an idempotency key are recorded: a store of
            `leveret.once` for this server alone, entered and left by it, or the URL of one,
            redis://... or postgresql://... Default: `MemoryOnce()`.
        :param allow: who may call what, by `current_call().user`: "service.method", "service" or
            "*" to a list of users, as names or `fnmatch` patterns, or None for everybody. The first
            of the three that is there counts; what none names is open. Or a function of the
            `CurrentCall`, which has no arguments yet. Others get `PermissionDenied`.
        :param trusted_servers: users of other servers, as names or patterns, whose word is taken on
            whose request they hand back in a drain. Those that have this server's user need none.
        :raises ContractError: if a service cannot be served.
        :raises InvalidURL: if `once` is no URL of a store.
        :raises TopologyError: if a queue exists with other options.
        :raises OnceUnavailable: if the store of `once` cannot be used when it starts.
        :raises ConnectionLost: if the connection breaks and is not opened again
            (`connect(reconnect=...)`).
        """
        read = ServeOptions.of(**options)
        server = self._server(services, read)
        with stop_signals(server.hurry) as stopped:
            await server.start()
            try:
                await asyncio.wait((stopped, server.failed), return_when=asyncio.FIRST_COMPLETED)
                if server.failed.done():
                    server.failed.result()
            finally:
                await server.drain(read.grace)

    def _server(self, services: tuple[Service, ...], options: ServeOptions) -> Server:
        if self._link is None:
            raise RuntimeError(_NOT_CONNECTED)
        return Server(
            self._link,
            services,
            options,
            name=self._name or default_name(),
            max_message_size=self._max_message_size,
        )


def _check_patience(seconds: object) -> None:
    """Judge `wait_for_broker`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InvalidArgument(
            f"wait_for_broker must be a number of seconds, 0 or more; got {seconds!r}"
        )


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        # Not the value itself: what is given for credentials may be a password.
        kind = type(value).__name__
        raise InvalidArgument(f"{name} must be a function, or None for none; got {kind}")


def _address(url: str, credentials: Credentials | None, user_id: str | None) -> Address:
    """Where to connect to, and as whom."""
    if user_id:
        short_string(user_id)
    address = parse_url(url, {} if credentials is not None else os.environ)
    if credentials is not None:
        address = replace(address, credentials=credentials)
    return replace(address, user_id=user_id)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where that is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
