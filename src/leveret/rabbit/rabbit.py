"""`Rabbit`: the one object through which a user calls and serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, Unpack, overload

from leveret.async_only import AsyncOnly
from leveret.client.caller import Caller
from leveret.client.calls.client import Client
from leveret.client.discovered import DiscoveredService
from leveret.client.invocations import Invocations
from leveret.client.middleware import Middleware
from leveret.client.options import CallOptions, GivenOptions, check_timeout
from leveret.client.plain import PlainRemote
from leveret.client.policy.call_policy import Policies
from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.survey import (
    Pong,
    StatsSurvey,
    Survey,
    ask_calls,
    ask_drain,
    ask_ping,
    ask_servers,
    ask_stats,
    ask_stop,
)
from leveret.client.verbs.answers import Answers
from leveret.client.verbs.ask_all import STALL
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.pipe_types import MakesPipes
from leveret.client.verbs.start import DAY, Starting
from leveret.contract import Service
from leveret.observe import PROCESS, ClientCounters
from leveret.of_one_process import OfOneProcess
from leveret.rabbit.connection import BrokerConnection
from leveret.rabbit.serving import Serving, serve_until_stopped
from leveret.rabbit.traced import client_tracing, server_tracing
from leveret.server.options import GivenServeOptions, ServeOptions
from leveret.server.server import Server
from leveret.transport.link import Link, State
from leveret.transport.opening import default_name
from leveret.wire.stats import ServerCalls, ServerIdentity

__all__ = ["Rabbit"]

P = ParamSpec("P")
S = TypeVar("S", bound=Service)
R = TypeVar("R")


class Rabbit(AsyncOnly, OfOneProcess):
    """A connection to RabbitMQ, for calls and for serving; `connect` makes one."""

    def __init__(
        self,
        connection: BrokerConnection,
        *,
        options: CallOptions,
        middleware: tuple[Middleware, ...],
        policies: Policies,
    ) -> None:
        self._connection = connection
        self._invocations = invocations = Invocations(connection.client_here, middleware, policies)
        PROCESS.add_client(self, invocations.counters, connection.counters)
        invocations.tracing = client_tracing(connection.address)
        starting = Starting(connection.client_here)
        self._made = Caller(connection.client_here, invocations, options, starting)

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
        if self._invocations.tracing is None:
            self._invocations.tracing = client_tracing(self._connection.address)
        await self._connection.open()
        return self

    def __repr__(self) -> str:
        return f"<rabbit{self._connection}>"

    async def close(self) -> None:
        """End pending calls, delete the reply queue, close the connection. Twice is fine.

        Servers that `serving` started and that are not closed are drained first. Apart from that it
        waits at most 5 s for a broker that does not answer. Cancelling it cuts the grace of these
        drains short: their handlers are cancelled, their callers are told, and then it ends.

        :raises RuntimeError: in another event loop than that of the connection.
        """
        await self._connection.close()

    # -- for `leveret.blocking`, which opens it by its first use ------------------------------

    @property
    def is_unopened(self) -> bool:
        """Whether it must be opened, for the first time or again."""
        return self._connection.is_unopened

    @property
    def unopened_caller(self) -> Caller:
        """Makes calls, once the connection is open."""
        return self._made

    def remote_of(self, contract: Callable[..., S]) -> S:
        """Like `remote`, but also before the connection is open."""
        return self._made.remote(contract)

    def leave_to_parent(self) -> object:
        """This process was forked: start afresh, and touch nothing that the parent has open.

        :returns: what must be kept alive: collecting it would close what both processes share.
        """
        left = self._connection.leave_to_parent()
        self._invocations.counters.forget()
        PROCESS.add_client(self, self._invocations.counters, self._connection.counters)
        return left

    @property
    def state(self) -> State:
        """The state of its connection: connecting, connected, reconnecting or closed."""
        return self._connection.state

    @property
    def calls(self) -> Client:
        """The internals of the calls, for tests and tools. They may change at any time.

        :raises RuntimeError: if it was never connected.
        """
        client = self._connection.client
        if client is None:
            raise RuntimeError("not connected yet: a lazy connection connects at its first use")
        return client

    @property
    def _caller(self) -> Caller:
        self._connection.check_opened()
        return self._made

    @property
    def in_flight(self) -> int:
        """How many calls wait for their replies."""
        client = self._connection.client
        return 0 if client is None else client.in_flight

    @property
    def late_replies(self) -> int:
        """How many late, duplicate or unknown replies were dropped, as no call waited for them."""
        client = self._connection.client
        return 0 if client is None else client.late

    @property
    def counters(self) -> Mapping[str, ClientCounters]:
        """The counters of its calls, by "service.method", for tools that show them."""
        return self._invocations.counters.by_method

    # -- calling ------------------------------------------------------------------------------

    def remote(self, contract: Callable[..., S]) -> S:
        """Make a remote of a service: calls to its methods go over the network.

        :raises ContractError: if `contract` is not a service class, or has no methods.
        """
        return self._caller.remote(contract)

    async def call(self, method: str, /, **arguments: Any) -> Any:
        """Call "service.method" without its contract. Arguments and result are plain values.

        :raises CallError: as any remote call does; a declared error comes as `RemoteError`.
        """
        return await self._caller.call(method, **arguments)

    def send(
        self, method: Callable[P, Awaitable[object]]
    ) -> Callable[P, Coroutine[Any, Any, None]]:
        """Send one-way requests: `await rabbit.send(audit.record)(event)`, with any method.

        It returns once the broker has confirmed the request. The request is persistent, and waits
        for a server, even if none is running yet. Nobody answers it. The method keeps the options
        and the middleware of its remote: `timeout` limits the wait for the confirm, `expires_in`
        how long the request may wait. If sending fails, `executed` of the error says whether a
        server may still run the request.

        :param method: a method of a remote, as in `rabbit.remote(Audit).record`.
        :raises InvalidArgument: for anything else.
        """
        return self._caller.send(method)

    def stream(self, method: str, /, **arguments: Any) -> RemoteStream[Any]:
        """Stream from "service.method" without its contract. Arguments and items are plain values.

        :raises InvalidArgument: if there cannot be a method of that name. Iterating over it raises
            what any stream does.
        """
        return self._caller.stream(method, **arguments)

    def start(
        self, method: Callable[P, Awaitable[R]], *, key: str, keep: float = DAY
    ) -> Callable[P, Coroutine[Any, Any, CallHandle[R]]]:
        """Start calls that outlive this process: `await rabbit.start(remote.write, key="a")(7)`.

        It returns once the broker has confirmed the request, which is persistent. The servers must
        have a store that outlives them, as with `serve(once="sqlite:///...")`. A call runs once for
        its key, and its method's own timeout limits the handler.

        :param method: a method of a remote. The client's middleware runs around the start.
        :param key: identifies the call, per method and user; another key is another call.
        :param keep: seconds from now within which the call may begin, and for which its outcome is
            kept after its end.
        :raises InvalidArgument: for anything else, or if the arguments do not fit.
        :raises Unimplemented: if its servers have no such store. Nothing was sent.
        :raises CallError: why it cannot be started.
        """
        return self._caller.start(method, key=key, keep=keep)

    def attach(self, method: Callable[P, Awaitable[R]], key: str) -> CallHandle[R]:
        """The call that was started with this key, by any process of the same user of the broker.

        :raises InvalidArgument: for anything but a method of a remote, or a key.
        """
        return self._caller.attach(method, key)

    def ask_all(
        self,
        method: Callable[P, Awaitable[R]],
        *,
        timeout: float | None = None,
        stall: float = STALL,
        allow_effects: bool = False,
    ) -> Callable[P, Coroutine[Any, Any, Answers[R]]]:
        """Have every server run a method: `await rabbit.ask_all(cache.invalidate)("k")`.

        It ends once all known servers have answered. Each runs the call at most once; it is neither
        retried nor hedged.

        :param timeout: seconds that it may take, instead of the method's.
        :param stall: seconds without news from any server after which the servers that have not
            answered count as missing. Servers send news of handlers that run for long.
        :param allow_effects: whether the method need not be idempotent, though every server runs
            it.
        :raises InvalidArgument: for anything but a method of a remote, or one that is not
            idempotent without `allow_effects`.

        The call raises `NoServer` if there is no server, and other errors only if the request was
        not sent. After that, `Answers` has all results and errors, and says who is missing.
        """
        return self._caller.ask_all(
            method, timeout=timeout, stall=stall, allow_effects=allow_effects
        )

    def ask_one(
        self, method: Callable[P, Awaitable[R]], instance: str, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Have one server run a method: `await rabbit.ask_one(cache.size, "b47af560")()`.

        It runs the call at most once, whatever the method is. The call is neither retried nor
        hedged, and no other server gets it.

        :param instance: the server, as `rabbit.servers()` and `leveret ls --instances` name it:
            eight hexadecimal digits, new at each start.
        :param timeout: seconds that it may take, instead of the method's.
        :raises InvalidArgument: for anything but a method of a remote, or for an invalid instance.

        The call returns the result. It raises `NoServer` if no server of the service has this name,
        or the server drains. It raises `MaybeExecuted` if the server sends nothing for 2 s, and
        `DeadlineExceeded` if it does not answer by the deadline: then it is not known whether it
        ran the call.
        """
        return self._caller.ask_one(method, instance, timeout=timeout)

    async def discover(self, service: str, *, timeout: float = 5.0) -> DiscoveredService:
        """Make a remote of a service without its class, from its servers' description of it.

        :param service: its name, as in "shop_floor".
        :param timeout: seconds that servers have to answer. It ends as soon as the broker says that
            there is none, except with `with_options(wait_for_server=True).discover(...)`.
        :raises NoServer: if none answers.
        :raises CallError: if they cannot be asked.
        :raises ContractError: if their description cannot be read.
        """
        return await self._caller.discover(service, timeout=timeout)

    def with_options(self, **options: Unpack[GivenOptions]) -> Caller:
        """The same calls, remotes and verbs with other options, as in `Service.with_options`.

        Verbs (`send`, `start`, `attach`, `ask_all`) take a method of a remote, which has options of
        its own; the options given here take precedence.
        """
        return self._caller.with_options(**options)

    @property
    def pipe(self) -> MakesPipes:
        """Make a pipe of 2 to 16 methods: `await rabbit.pipe(resize.shrink, stamp.on)(picture)`.

        It takes the arguments of its first method, and returns the result of its last one. Servers
        pass the results on among themselves, as the first argument of the next method; the caller
        gets one reply. Options are those of `rabbit.with_options(...).pipe`, with one deadline for
        all stages.

        It raises `InvalidArgument` for anything but methods of this connection's remotes, and
        `ContractError` if a method cannot take the result of the one before it. `error.stage` of a
        failed call is the stage at which it failed.
        """
        return self._caller.pipe

    # -- looking at servers -------------------------------------------------------------------

    async def servers(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> Survey[ServerIdentity]:
        """The servers that are there, with their versions, contracts and processes.

        It ends as soon as all servers that the broker knows of have answered; `missing` names the
        services of which some have not.

        :param service: a service class, a name as in "orders", or one server's as in
            "orders.b47af560"; None: all.
        :param timeout: seconds that they have to answer.
        :raises InvalidArgument: if there cannot be a service of that name.
        :raises CallError: if they cannot be asked.
        """
        return await ask_servers(self._client(), service, check_timeout(timeout))

    async def ping(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> Survey[Pong]:
        """How long the servers take to answer; otherwise like `servers`."""
        return await ask_ping(self._client(), service, check_timeout(timeout))

    async def stats(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> StatsSurvey:
        """What the servers have counted since they started; `methods()` sums it by method.

        Otherwise it is like `servers`.
        """
        return await ask_stats(self._client(), service, check_timeout(timeout))

    async def running_calls(
        self, service: type[Service] | str | None = None, *, timeout: float = 1.0
    ) -> Survey[ServerCalls]:
        """The calls that the servers have now: since when, for whom, how far; see `servers`.

        Each server lists its oldest calls, at most a thousand, and tells how many there are. It
        tells only its own user of the broker and those of `serve(operators=[...])`; for others it
        counts as missing.

        :raises PermissionDenied: if no server tells this user of the broker.
        """
        return await ask_calls(self._client(), service, check_timeout(timeout))

    async def stop_calls(
        self,
        call_ids: Iterable[str],
        service: type[Service] | str | None = None,
        *,
        timeout: float = 1.0,
    ) -> list[str]:
        """Have servers cancel calls, whoever made them: their callers get `Cancelled`.

        :param call_ids: as `running_calls` tells them.
        :param service: whose servers are asked; None: all.
        :returns: the ids of the calls that were there.
        :raises PermissionDenied: if this user is not an operator of the servers; see
            `running_calls`.
        :raises CallError: if they cannot be asked.
        """
        return await ask_stop(self._client(), call_ids, service, check_timeout(timeout))

    async def drain_server(self, instance: str, *, timeout: float = 1.0) -> bool:
        """Have a server take no more calls, end those that it has, and stop serving.

        It drains with the grace of its own options, as if its process got SIGTERM: `serve()` and
        `leveret serve` end then. A supervisor of workers starts another one.

        :param instance: eight hexadecimal digits, as `servers` tells them.
        :returns: whether the server said that it drains; False if no server of that name answered.
        :raises PermissionDenied: if this user is not an operator of the server; see
            `running_calls`.
        :raises CallError: if it cannot be asked.
        """
        return await ask_drain(self._client(), instance, check_timeout(timeout))

    def _client(self) -> Client:
        self._connection.check_opened()
        return self._connection.client_here()

    # -- servers of the tutorial's kind -------------------------------------------------------

    @overload
    def plain(self, queue: str, **options: Unpack[GivenOptions]) -> PlainRemote[str]: ...
    @overload
    def plain(
        self, queue: str, *, result: type[R], **options: Unpack[GivenOptions]
    ) -> PlainRemote[R]: ...
    def plain(self, queue: str, *, result: Any = str, **options: Unpack[GivenOptions]) -> Any:
        """Call servers of the RabbitMQ tutorial's protocol: text in, text out, on a named queue.

        :param result: the type to read the answer as: str, int, float, bool, ...
        :param options: those of `Service.with_options`: timeout (default: 10 s), priority, retry,
            wait_for_server, wait_for_connection, reply_metadata.
        :raises InvalidArgument: for other options, which the tutorial's protocol cannot support.
        """
        return self._caller.plain(queue, result, options)

    # -- serving ------------------------------------------------------------------------------

    def serving(self, *services: Service, **options: Unpack[GivenServeOptions]) -> Serving:
        """Serve until the end of an `async with` block, then drain.

        `server = await rabbit.serving(...)` serves until `await server.close()`. It takes the
        options of `serve`, except `signals`.
        """
        read = ServeOptions.of(**options)

        async def start() -> Server:
            opened = self._connection.opened_here()
            server = self._server(opened.link, services, read)
            await server.start()
            opened.servers.add(server)
            return server

        return Serving(start)

    async def serve(
        self,
        *services: Service,
        signals: bool = True,
        **options: Unpack[GivenServeOptions],
    ) -> None:
        """Serve until SIGINT or SIGTERM, then drain. A second signal cuts the drain short.

        A second SIGTERM before the drain has begun is an echo of the first, as `timeout` sends it.
        A signal while a service is being left cancels its `__aexit__`. A signal during the start
        ends the start, and leaves the services that were entered.

        :param services: instances of service classes. An instance that is an async context manager
            is entered before its first call and left after its last.
        :param signals: False leaves SIGINT and SIGTERM alone; then cancel the task to stop. True
            handles them, and also calls the handlers that were installed before.
        :param plain: queue names to "service.method": methods that clients of the RabbitMQ
            tutorial's protocol can call, too, with text bodies. A `PlainQueue` in place of the text
            says how the queue is declared if it is missing, and what a failed request gets.
        :param grace: seconds that running calls have to end in a drain.
        :param middleware: around each handler: `async def (call, call_next)`. If it has a method
            `call_ended(call, end)`, that is called with the end of each call, also of refused ones.
        :param concurrency: calls of each method at a time, instead of what each method says.
        :param send_tracebacks: whether callers get the traceback of an undeclared exception.
        :param once: where replies to requests with an idempotency key are recorded: a store of
            `leveret.once` that only this server uses, and which it enters and leaves; or the URL of
            one, sqlite:///path, redis://... or postgresql://... Default: `MemoryOnce()`.
        :param allow: who may call what, by `current_call().user`: "service.method", "service" or
            "*" to a list of users, as names or `fnmatch` patterns, or None for everybody. The
            most specific key counts; a method without a matching key is open to all. Or a function
            of the `CurrentCall`, which has no arguments yet. Other users get `PermissionDenied`.
        :param trusted_servers: users of other servers, as names or patterns. When one of these
            servers hands a request back in a drain, this server believes it which user sent the
            request. Servers with this server's own user need not be named.
        :param operators: users, as names or patterns, who may see and cancel the calls of all
            callers (`rabbit.running_calls`, `leveret cancel`), and have the server drain
            (`rabbit.drain_server`), in addition to the server's own user.
        :param access_log: whether to log a line for each call that ended, to `leveret.access`.
        :param blocked_after: seconds after which a handler that blocks the event loop is named in
            the log; None: there is no watchdog, nor its thread.
        :raises ContractError: if a service cannot be served, or an option has an invalid value.
        :raises InvalidURL: if `once` is text, and not the URL of a store.
        :raises TopologyError: if a queue exists with other options.
        :raises OnceUnavailable: if the store of `once` cannot be used when it starts.
        :raises ConnectionLost: if the connection breaks and is not restored
            (`connect(reconnect=...)`).
        """
        read = ServeOptions.of(**options)
        server = self._server(self._connection.opened_here().link, services, read)
        await serve_until_stopped(server, grace=read.grace, signals=signals)

    def _server(self, link: Link, services: tuple[Service, ...], options: ServeOptions) -> Server:
        connection = self._connection.options
        return Server(
            link,
            services,
            options,
            name=connection.name or default_name(),
            max_message_size=connection.max_message_size,
            traced=partial(server_tracing, self._connection.address),
        )
