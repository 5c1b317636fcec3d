"""One method of a remote: how it is called, with the middleware and the trace around its calls.

Verbs turn it into others: a one-way request, the start of a call, a pipe. What they need to know of
a method is here as well.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import repeat
from types import CodeType
from typing import Any, Final

from msgspec import structs

from leveret.client.counted import Counted
from leveret.client.invocation import Invocation, Terms, TracedTerms
from leveret.client.invocations import NATIVE, Invocations, MakeCodec
from leveret.client.invokes import Invokes, MakesCalls
from leveret.client.middleware import CallNext, Middleware, OutgoingCall, compose
from leveret.client.options import CallOptions, GivenOptions, check_timeout
from leveret.client.request_ids import ids_within, within_call
from leveret.client.signatures import DocOfMethod, SignatureOfMethod
from leveret.client.tracing import ClientTracing, TracedCall
from leveret.contract import MethodSpec, given_arguments
from leveret.errors import InvalidArgument
from leveret.of_one_process import OfOneProcess
from leveret.wire.started import Standing

_OF_A_CALL: Final = ("metadata", "idempotency_key", "reply_metadata", "on_progress")
"""Options that may be others for each call. An invocation, which calls share, has none of them."""


class RemoteMethod(OfOneProcess):
    """One method of a remote service. Calling it sends a request and awaits the reply.

    A caller may make one for each call, with metadata of its own. So making one must be cheap.

    :param invocation: makes the method's calls with these options.
    :param made_by: what made the invocation, and how it makes the method's codecs.
    :raises InvalidArgument: if the metadata cannot be sent.
    """

    __slots__ = (
        "_chain",
        "_invocation",
        "_key",
        "_made_by",
        "_metadata",
        "_middleware",
        "_name",
        "_on_progress",
        "_options",
        "_reply_metadata",
        "_spec",
        "_terms",
    )
    __signature__ = SignatureOfMethod()

    def __init__(
        self,
        invocation: Invokes,
        spec: MethodSpec,
        options: CallOptions,
        made_by: tuple[Invocations, MakeCodec],
        middleware: tuple[Middleware, ...] = (),
    ) -> None:
        self._made_by = made_by
        self._options = options
        self._middleware = middleware
        self._spec = spec
        self._name = spec.key
        self._invocation = invocation
        self._metadata = options.metadata
        self._key = options.idempotency_key
        self._reply_metadata = options.reply_metadata
        self._on_progress = options.on_progress
        self._terms = self._terms_with(options.timeout or spec.timeout, options.metadata)
        self._chain: CallNext | None = None
        if middleware:
            self._chain = compose(middleware, self._innermost)

    # -- what makes Python's tools take it for an `async def` ----------------------------------

    __defaults__ = None
    __kwdefaults__ = None

    @property
    def __name__(self) -> str:
        """The name of the method in Python."""
        return self._spec.attribute

    @property
    def __code__(self) -> CodeType:
        """What `iscoroutinefunction` looks at; functions made by Cython have it, too."""
        return Invocation.call.__code__

    def __get__(self, instance: object, owner: type | None = None) -> RemoteMethod:
        """Return itself. With this, `help` takes it for a routine, and shows its signature."""
        return self

    # -- calling ------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Make one call, through the middleware if there is any.

        :raises CallError: however it fails, once it is awaited.
        """
        tracing = self._made_by[0].tracing
        if tracing is not None and tracing.is_wanted():
            call = self._traced(tracing, args, kwargs)
        elif self._chain is None:
            call = self._invocation.call(args, kwargs, self._terms)
        else:
            call = self._through_middleware(self._chain, args, kwargs, self._terms.timeout)
        # For "coroutine 'orders.quote' was never awaited"; each coroutine has it.
        call.__qualname__ = self._name  # type: ignore[attr-defined]
        return call

    def __repr__(self) -> str:
        return f"<remote method {self._spec.key}>"

    # -- for verbs ----------------------------------------------------------------------------

    @property
    def given_timeout(self) -> float | None:
        """The timeout in its options, in seconds; None if they have none."""
        return self._options.timeout

    def started(self, key: str, keep: float) -> RemoteMethod:
        """The same method; its requests start calls with a key.

        :param keep: seconds; see `StartedClient`.
        :raises InvalidArgument: if it cannot be called with its options.
        """
        invocations, make_codec = self._made_by
        options = structs.replace(
            self._options, idempotency_key=key, expires_in=keep, retry=False, hedge=False
        )
        starting = invocations.of(self._spec, options, make_codec, one_way=True, started=True)
        return RemoteMethod(starting, self._spec, options, self._made_by, self._middleware)

    async def request(
        self, call_id: str, arguments: Mapping[str, Any], metadata: dict[str, str], timeout: float
    ) -> None:
        """Send one-way requests of one call, all with this id, until the broker has taken one.

        :raises CallError: if it takes none.
        """
        tracing = self._made_by[0].tracing
        if tracing is None or not tracing.is_wanted():
            terms = self._terms_with(timeout, metadata)
            await self._invocation.call((), dict(arguments), terms, repeat(call_id))
            return
        with tracing.call(self._name) as traced:
            terms = self._terms_with(timeout, {**metadata, **traced.carrier})
            await self._invocation.call((), dict(arguments), terms, repeat(call_id))

    def read_standing(self, standing: Standing) -> Any:
        """The result of a started call that has ended; its error is raised."""
        return self.invocation.results.recorded(standing, self._reply_metadata)

    def through_middleware(
        self,
        send: Callable[[Mapping[str, Any], dict[str, str], float], Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float,
    ) -> Coroutine[Any, Any, Any]:
        """Run the middleware around something other than a call.

        :param send: is given the arguments by name, the metadata and the timeout, as the middleware
            left them.
        :param timeout: seconds that it may take, as the middleware gets them.
        """

        def innermost(call: OutgoingCall) -> Awaitable[Any]:
            return send(call.arguments, call.metadata, check_timeout(call.timeout))

        chain = compose(self._middleware, innermost)
        return self._through_middleware(chain, args, kwargs, timeout)

    def changed(self, options: GivenOptions) -> RemoteMethod:
        """The same method with some options changed.

        :raises InvalidArgument: if it cannot be called with them.
        """
        if not options:
            return self
        invocations, make_codec = self._made_by
        merged = self._options.merged(options)
        invocation = invocations.of(self._spec, merged, make_codec)
        return RemoteMethod(invocation, self._spec, merged, self._made_by, self._middleware)

    def twin(self, invocation: Invocation, **changes: Any) -> RemoteMethod:
        """The same with another invocation, and with some options changed."""
        options = structs.replace(self._options, **changes)
        return RemoteMethod(invocation, self._spec, options, self._made_by, self._middleware)

    @property
    def options(self) -> CallOptions:
        """The options of its calls."""
        return self._options

    def one_way(self) -> RemoteMethod:
        """The same method; its calls send one-way requests and return None.

        :raises InvalidArgument: if it cannot be called with its options.
        """
        invocations, make_codec = self._made_by
        sending = invocations.of(self._spec, self._options, make_codec, one_way=True)
        return RemoteMethod(sending, self._spec, self._options, self._made_by, self._middleware)

    @property
    def spec(self) -> MethodSpec:
        """The specification of the method that it calls."""
        return self._spec

    @property
    def invocation(self) -> Invocation:
        """The invocation that makes its calls, if it `takes_verbs`."""
        assert isinstance(self._invocation, Invocation)
        return self._invocation

    @property
    def takes_verbs(self) -> bool:
        """Whether it is a method of a remote, and was not made by a verb."""
        return isinstance(self._invocation, Invocation) and not self._invocation.is_pipe

    def has_options_beside(self, options: CallOptions) -> bool:
        """Whether its calls have options of their own."""
        pairs = [(getattr(self._options, name), getattr(options, name)) for name in _OF_A_CALL]
        return any(own and own != other for own, other in pairs)

    def as_a_stage(self, reply_metadata: dict[str, str] | None = None) -> RemoteMethod:
        """The same without options of its own, for a pipe.

        :param reply_metadata: receives the metadata that comes with a result which this reads.
        """
        none = dict.fromkeys(_OF_A_CALL)
        return self.twin(self.invocation, **{**none, "reply_metadata": reply_metadata})

    def through(
        self,
        make: Callable[[MethodSpec, CallOptions, MakeCodec, MakesCalls], MakesCalls],
        *,
        timeout: float | None = None,
    ) -> RemoteMethod:
        """The same method; its calls are made in another way, inside the same middleware.

        :param make: is given the invocation, and returns what makes the calls in its place.
        :param timeout: seconds that each call may take, if not as for other calls.
        :raises InvalidArgument: if the method cannot be called in this way.
        """
        options = self._options.merged({"timeout": timeout})
        made = make(self._spec, options, self._made_by[1], self._invocation)
        invocation = Counted(made, self.invocation.counters)
        return RemoteMethod(invocation, self._spec, options, self._made_by, self._middleware)

    def _terms_with(self, timeout: float, metadata: dict[str, str] | None) -> Terms:
        """The terms of a call.

        :raises InvalidArgument: if the metadata cannot be sent.
        """
        headers = b""
        asks = self._on_progress is not None
        if metadata or asks or self._key is not None:
            try:
                if metadata and not asks and self._key is None:
                    headers = NATIVE.metadata(metadata)
                else:
                    headers = NATIVE.headers(metadata, self._key, progress=asks)
            except (TypeError, ValueError) as error:
                raise InvalidArgument(f"the metadata cannot be sent: {error}") from error
        return Terms(
            timeout=timeout,
            headers=headers,
            reply_metadata=self._reply_metadata,
            on_progress=self._on_progress,
        )

    async def _traced(
        self, tracing: ClientTracing, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make one traced call, with the middleware inside its span."""
        with tracing.call(self._name) as traced:
            if self._chain is not None:
                seconds = self._terms.timeout
                return await self._through_middleware(self._chain, args, kwargs, seconds, traced)
            metadata = {**(self._metadata or {}), **traced.carrier}
            terms = self._traced_terms(self._terms.timeout, metadata, traced)
            return await self._shown(traced, self._invocation.call(args, kwargs, terms))

    async def _shown(self, traced: TracedCall, call: Coroutine[Any, Any, Any]) -> Any:
        """A call that is traced; what counts its time leads to its trace."""
        time = get_running_loop().time
        began = time()
        try:
            return await call
        finally:
            self._invocation.counters.exemplify(traced.exemplar(time() - began))

    def _traced_terms(self, timeout: float, metadata: dict[str, str], traced: TracedCall) -> Terms:
        """The terms of a traced call.

        :raises InvalidArgument: if the metadata cannot be sent.
        """

        def headers(carrier: Mapping[str, str]) -> bytes:
            return self._terms_with(timeout, {**metadata, **carrier}).headers

        terms = self._terms_with(timeout, metadata)
        return structs.replace(terms, traced=TracedTerms(call=traced, headers=headers))

    async def _through_middleware(
        self,
        chain: CallNext,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float,
        traced: TracedCall | None = None,
    ) -> Any:
        try:
            arguments = self._invocation.parameters(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgument(str(error), method=self._spec.key) from error
        call = OutgoingCall(
            self._name,
            arguments if isinstance(arguments, dict) else given_arguments(arguments),
            self._metadata.copy() if self._metadata else {},
            timeout,
            self._invocation.new_id(),
        )
        if traced is not None:
            call.metadata.update(traced.carrier)
        with within_call(call.id, traced):
            return await chain(call)

    def _innermost(self, call: OutgoingCall) -> Coroutine[Any, Any, Any]:
        """Make the call as the middleware left it."""
        terms = self._terms
        timeout, metadata = call.timeout, call.metadata
        ids = ids_within(call.id, self._invocation.new_id)
        traced = ids.traced
        if traced is not None:
            terms = self._traced_terms(check_timeout(timeout), metadata, traced)
        elif timeout != terms.timeout:
            terms = self._terms_with(check_timeout(timeout), metadata)
        elif metadata != self._metadata and (metadata or self._metadata):
            terms = self._terms_with(timeout, metadata)
        made = self._invocation.call((), call.arguments, terms, ids)
        return made if traced is None else self._shown(traced, made)


RemoteMethod.__doc__ = DocOfMethod(RemoteMethod.__doc__)  # type: ignore[assignment]
