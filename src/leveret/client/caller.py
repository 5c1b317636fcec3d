"""What a connection offers for calling: typed remotes, and calls by name, with common options."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, ParamSpec, Protocol, TypeVar, Unpack, cast

from msgspec.structs import replace

from leveret.client.discovered import DiscoveredService
from leveret.client.discovery import discover, is_one_way
from leveret.client.invocations import NATIVE, Invocations
from leveret.client.named import named_codec, named_spec
from leveret.client.options import CallOptions, GivenOptions, check_timeout
from leveret.client.plain import PlainRemote
from leveret.client.remote import remote_of, remote_of_spec
from leveret.client.remote_method import RemoteMethod
from leveret.client.streams.method import RemoteStreamMethod
from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.verbs.answers import Answers
from leveret.client.verbs.ask_all import STALL, ask_all
from leveret.client.verbs.ask_one import ask_one
from leveret.client.verbs.asking import Asker
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.pipe import make_pipe
from leveret.client.verbs.pipe_types import MakesPipes
from leveret.client.verbs.send import send
from leveret.client.verbs.start import DAY, Starting
from leveret.client.verbs.started_servers import Inquirer
from leveret.contract import Service
from leveret.of_one_process import OfOneProcess

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Service)

_SAID_WITHIN: Final = 5.0
"""Seconds that servers have to say that a method is a one-way method."""
_MOMENT: Final = 0.5
"""Seconds that such a question may take in addition to the timeout of the call."""
_LEAST: Final = 0.01
"""Seconds that are left for the call itself, at least."""
_NAMED_METHODS: Final = 256
"""For how many methods the caller keeps what a call by name needs."""


class ClientHere(Inquirer, Asker, Protocol):
    """What this file needs of the client of a connection."""


class Caller(OfOneProcess):
    """Makes calls over one connection; `rabbit.with_options(...)` gives one with other options.

    :param given: the options that `with_options` was given. Verbs apply them to methods of remotes
        that have other options.
    """

    def __init__(
        self,
        client_here: Callable[[], ClientHere],
        invocations: Invocations,
        options: CallOptions,
        starting: Starting,
        given: GivenOptions | None = None,
    ) -> None:
        self._starting = starting
        self._client_here = client_here
        self._invocations = invocations
        self._options = options
        self._given: GivenOptions = given or {}
        self._named: dict[str, RemoteMethod] = {}

    def remote(self, contract: Callable[..., S]) -> S:
        """A remote of a service: calls to its methods go over the network.

        :raises ContractError: if `contract` is not a service class, or has no methods.
        """
        # A type[S] would have mypy refuse abstract contracts; any other callable is refused here.
        service = cast("type[Service]", contract)
        return cast("S", remote_of(service, self._invocations, self._options))

    async def call(self, method: str, /, **arguments: Any) -> Any:
        """Call "service.method" without its contract; arguments and result are plain values.

        :raises CallError: as any remote call does; a declared error comes as `RemoteError`.
        """
        remote = self._named.get(method) or self._by_name(method)
        return await remote(**arguments)

    async def call_or_send(self, method: str, /, **arguments: Any) -> Any:
        """Call "service.method" without its contract, or send it if it is a one-way method.

        The servers are asked which it is; where none answers within 5 s, it is called. A one-way
        method gives None once the broker has confirmed the request.

        :raises CallError: as any remote call does; a declared error comes as `RemoteError`.
        """
        loop = asyncio.get_running_loop()
        timeout = self._options.timeout or named_spec(method).timeout
        began = loop.time()
        one_way = await is_one_way(self._client_here(), method, min(timeout, _SAID_WITHIN))
        took = loop.time() - began
        remote = self._named.get(method) or self._by_name(method)
        if took > _MOMENT:
            remote = remote.changed({"timeout": max(timeout - took, _LEAST)})
        return await (remote.one_way() if one_way else remote)(**arguments)

    def _by_name(self, method: str) -> RemoteMethod:
        """Make what calls a method by name; later calls of it share that.

        :raises InvalidArgument: if there cannot be such a method.
        """
        spec = named_spec(method)
        invocation = self._invocations.of(spec, self._options, named_codec)
        made_by = self._invocations, named_codec
        remote = RemoteMethod(
            invocation, spec, self._options, made_by, self._invocations.middleware
        )
        if len(self._named) < _NAMED_METHODS:
            self._named[method] = remote
        return remote

    def ask_all(
        self,
        method: Callable[P, Awaitable[R]],
        *,
        timeout: float | None = None,
        stall: float = STALL,
        allow_effects: bool = False,
    ) -> Callable[P, Coroutine[Any, Any, Answers[R]]]:
        """Make a method of a remote run at every server; see `Rabbit.ask_all`.

        The options given to `with_options` here apply, and otherwise those of the method's remote.

        :raises InvalidArgument: as `Rabbit.ask_all` says.
        """
        return ask_all(
            method,
            self._client_here,
            self._given,
            timeout=timeout,
            stall=stall,
            allow_effects=allow_effects,
        )

    def ask_one(
        self, method: Callable[P, Awaitable[R]], instance: str, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Make a method of a remote run at one server; see `Rabbit.ask_one`.

        The options given to `with_options` here apply, and otherwise those of the method's remote.

        :raises InvalidArgument: as `Rabbit.ask_one` says.
        """
        return ask_one(method, instance, self._client_here, self._given, timeout=timeout)

    def send(
        self, method: Callable[P, Awaitable[object]]
    ) -> Callable[P, Coroutine[Any, Any, None]]:
        """Make a method of a remote send one-way requests; see `Rabbit.send`.

        The options given to `with_options` here apply, and otherwise those of the method's remote.

        :raises InvalidArgument: for anything but a method of a remote.
        """
        return send(method, self._given)

    def stream(self, method: str, /, **arguments: Any) -> RemoteStream[Any]:
        """Stream from "service.method" without its contract; arguments and items are plain values.

        :raises InvalidArgument: if there cannot be such a method. Iterating over it raises what any
            stream does.
        """
        spec = replace(named_spec(method), streams=True)
        opener = self._invocations.opener_of(spec, self._options, named_codec)
        remote = RemoteStreamMethod(
            opener, spec, self._options, NATIVE, self._invocations.middleware
        )
        return remote(**arguments)

    def start(
        self, method: Callable[P, Awaitable[R]], *, key: str, keep: float = DAY
    ) -> Callable[P, Coroutine[Any, Any, CallHandle[R]]]:
        """Make a method of a remote start calls that outlive their caller; see `Rabbit.start`.

        The options given to `with_options` here apply, and otherwise those of the method's remote.
        """
        return self._starting.start(method, key, keep, self._given)

    def attach(self, method: Callable[P, Awaitable[R]], key: str) -> CallHandle[R]:
        """The call that was started with a key; see `Rabbit.attach`."""
        return self._starting.attach(method, key, self._given)

    async def discover(self, service: str, *, timeout: float = 5.0) -> DiscoveredService:
        """Make a remote of a service without its class, from its servers' description of it.

        :param service: its name, as in "shop_floor".
        :param timeout: seconds that servers have to answer. Without `wait_for_server=True` in
            `with_options` it ends as soon as the broker says that there is none.
        :raises NoServer: if none answers.
        :raises CallError: if they cannot be asked.
        :raises ContractError: if what they say cannot be read.
        """
        options = self._options
        spec = await discover(
            self._client_here(),
            service,
            timeout=check_timeout(timeout),
            wait_for_server=options.wait_for_server,
            wait_for_connection=options.wait_for_connection,
        )
        return remote_of_spec(spec, DiscoveredService, self._invocations, options)

    @property
    def pipe(self) -> MakesPipes:
        """Make a pipe of methods: each gets the result of the one before it; see `Rabbit.pipe`."""
        return cast("MakesPipes", self._pipe)

    def _pipe(self, *stages: object) -> RemoteMethod:
        return make_pipe(self._invocations, self._options, stages)

    def plain(self, queue: str, result: type[R], options: GivenOptions) -> PlainRemote[R]:
        """A remote of servers that speak the RabbitMQ tutorial's protocol, on a named queue.

        :raises InvalidArgument: for options that this protocol cannot support.
        """
        return PlainRemote(self._invocations, queue, result, self._options.merged(options))

    def with_options(self, **options: Unpack[GivenOptions]) -> Caller:
        """The same with other options for its calls; `Service.with_options` lists them."""
        changes = {name: value for name, value in options.items() if value is not None}
        given = cast("GivenOptions", {**self._given, **changes})
        return Caller(
            *(self._client_here, self._invocations, self._options.merged(options)),
            *(self._starting, given),
        )
