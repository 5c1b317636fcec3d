"""The typed remote: an object whose methods are calls over the network.

`Remote` is what `rabbit.remote(Contract)` returns; its type, for mypy and pyright, is the contract.
It is no subclass of the contract: only what is a remote method is reachable on it.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from asyncio import get_running_loop
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NoReturn, Unpack

from msgspec.structs import asdict

from leveret.client.calls.client import Client
from leveret.client.calls.life import Pending
from leveret.client.calls.request import Request
from leveret.client.guard import Guard, Safeguards
from leveret.client.options import (
    CallNext,
    CallOptions,
    GivenOptions,
    Middleware,
    OutgoingCall,
    compose,
)
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, MethodCodec, method_codec
from leveret.contract import MethodSpec, Service, ServiceSpec, spec_of
from leveret.errors import (
    CallError,
    ContractError,
    DeadlineExceeded,
    InvalidArgument,
    InvalidResult,
    Unimplemented,
)
from leveret.wire.context import find_current_call, within_current_call
from leveret.wire.message import Reply
from leveret.wire.native.dialect import NativeClient

_DIALECT: Final = NativeClient()
_RETRY_FIRST: Final = 0.05
_RETRY_MOST: Final = 1.0


class _SignatureOfMethod:
    """What `inspect.signature` looks for: the parameters of the method, made only then."""

    def __get__(self, method: RemoteMethod | None, owner: type[RemoteMethod]) -> Any:
        if method is None:
            raise AttributeError("__signature__")  # the class has that of its __init__
        return method._signature()  # noqa: SLF001 - a part of it


class RemoteMethod:
    """One method of a remote service. Calling it sends a request and awaits the reply."""

    _knows_its_queue = True
    __signature__ = _SignatureOfMethod()

    def __init__(
        self,
        client: Client,
        spec: MethodSpec,
        options: CallOptions,
        middleware: tuple[Middleware, ...],
        safeguards: Safeguards,
    ) -> None:
        self._client = client
        self._spec = spec
        self._options = options
        self._route = client.route(spec.key, _DIALECT)
        if self._knows_its_queue:
            self._route.limited = spec.queue.max_length is not None
        self._check_priority()
        self._timeout = options.timeout or spec.timeout
        self._parameters = spec.parameters
        self._codec = self._codec_of(options.content_type or spec.content_type)
        self._encode = self._codec.encode_arguments
        self._decode = self._codec.decode_result
        self._content_type = self._codec.content_type
        self._request = Request(
            client.channel,
            _DIALECT,
            self._route,
            key=spec.key,
            content_type=self._content_type,
            priority=options.priority,
            idempotent=spec.idempotent,
            keyed=spec.once or options.idempotency_key is not None,
            names_key=options.idempotency_key is not None,
            wait_for_server=options.wait_for_server,
            wait_for_connection=options.wait_for_connection,
            if_busy_fail=options.if_busy == "fail",
        )
        self._headers = self._packed_headers()
        self._safeguards = safeguards
        self._guard: Guard | None = safeguards.guard(spec, options)
        self._chain: CallNext | None = compose(middleware, self._innermost) if middleware else None
        self._direct = self._guard is None and self._chain is None
        self.__name__ = spec.attribute
        self.__doc__ = spec.doc

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """One call, through the middleware and with the retries if there are any."""
        if self._direct:
            return self.call(args, kwargs)
        if self._chain is not None:
            return self._through_middleware(self._chain, args, kwargs)
        return self._past_middleware(args, kwargs)

    def _signature(self) -> inspect.Signature:
        signature = inspect.signature(self._spec.parameters)
        return signature.replace(return_annotation=self._spec.result)

    def __repr__(self) -> str:
        return f"<remote method {self._spec.key}>"

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call, past the middleware, of one attempt.

        :raises CallError: however it fails.
        """
        try:
            body = self._encode(self._parameters(*args, **kwargs))
        except ENCODE_ERRORS as error:
            self._refuse(error)
        timeout = self._timeout
        if find_current_call() is not None:
            timeout = within_current_call(timeout, self._spec.key)
        client = self._client
        loop = get_running_loop()
        if loop is not client.loop:
            client.check_loop()
        if client.held:
            timeout = await client.ready(self._request, timeout)
        if self._request.wait_for_server:
            return self._result(*await self._send_until_served(self._request, body, timeout))
        sink: asyncio.Future[Reply] = loop.create_future()
        call = client.send(self._request, body, timeout, sink, self._headers)
        del body
        try:
            reply = await sink
        except BaseException:
            client.abandon(call)
            raise
        # The common reply, without a detour.
        if (
            not reply.is_error
            and reply.content_type == self._content_type
            and reply.metadata is None
            and not reply.problem
            and reply.body is not None
        ):
            try:
                return self._decode(reply.body)
            except DECODE_ERRORS as error:
                self._bad_result(error)
        return self._result(call, reply)

    async def _guarded(self, guard: Guard, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call, of one attempt or several."""
        try:
            body = self._encode(self._parameters(*args, **kwargs))
        except ENCODE_ERRORS as error:
            self._refuse(error)
        timeout = within_current_call(self._timeout, self._spec.key)
        self._client.check_loop()
        if len(body) > self._client.max_message_size:
            return await self._attempt(body, timeout)  # is refused: no fault of the service
        if not self._request.needs_key:
            return await guard.run(partial(self._attempt, body), timeout)
        return await guard.run(self._with_one_key(body), timeout)

    def _with_one_key(self, body: bytes) -> Callable[[float], Coroutine[Any, Any, Any]]:
        """Attempts that share one idempotency key; they say so once one may have been run."""
        key = self._options.idempotency_key or secrets.token_urlsafe(16)
        options = self._options.merged({"idempotency_key": key})
        keyed = type(self)(self._client, self._spec, options, (), self._safeguards)
        request = keyed._request  # noqa: SLF001 - of this class

        async def attempt(timeout: float) -> Any:
            nonlocal request
            try:
                return await keyed._attempt(body, timeout, request)  # noqa: SLF001
            except CallError as error:
                if error.executed != "no":
                    request = keyed._request.again()  # noqa: SLF001
                raise

        return attempt

    async def _attempt(self, body: bytes, timeout: float, request: Request | None = None) -> Any:
        """One request and its result: the part of `call` that may be done again."""
        client = self._client
        request = request or self._request
        if request.wait_for_server:
            return self._result(*await self._send_until_served(request, body, timeout))
        if client.held:
            timeout = await client.ready(request, timeout)
        sink: asyncio.Future[Reply] = client.loop.create_future()
        call = client.send(request, body, timeout, sink, self._headers)
        try:
            reply = await sink
        except BaseException:
            client.abandon(call)
            raise
        return self._result(call, reply)

    async def _send_until_served(
        self, request: Request, body: bytes, timeout: float
    ) -> tuple[Pending, Reply]:
        """Send a request, again and again until its method's first server has come up."""
        client = self._client
        end = client.loop.time() + timeout
        pause = _RETRY_FIRST
        while True:
            if client.held:
                timeout = await client.ready(request, timeout)
            sink: asyncio.Future[Reply] = client.loop.create_future()
            call = client.send(request, body, timeout, sink, self._headers)
            try:
                reply = await sink
            except Unimplemented as error:
                if request.needs_key and error.executed != "no":
                    raise  # another request would have another key, and run again
                # No queue yet: its first server has still to come.
                timeout = end - client.loop.time() - pause
                if timeout <= 0:
                    raise DeadlineExceeded(
                        f"no server came up in time: {error.message}",
                        where="queue",
                        method=self._spec.key,
                    ) from error
            except BaseException:
                client.abandon(call)
                raise
            else:
                return call, reply
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RETRY_MOST)

    def _result(self, call: Pending, reply: Reply) -> Any:
        """What a reply says: the value, or the error raised."""
        if self._options.reply_metadata is not None:
            self._options.reply_metadata.update(reply.metadata or {})
        if reply.body is None:
            raise InvalidResult(
                f"the reply takes {reply.body_size} bytes, more than the"
                f" {self._client.max_message_size} of max_message_size",
                method=self._spec.key,
            )
        if reply.problem:
            raise InvalidResult(reply.problem, method=self._spec.key)
        if reply.is_error:
            failure = _DIALECT.error(reply, self._spec.raises, self._spec.key)
            if failure.executed == "no" and call.doubtful:
                failure.executed = "maybe"
            raise failure
        try:
            return self._codec_of(reply.content_type).decode_result(reply.body)
        except DECODE_ERRORS as error:
            self._bad_result(error)

    def _check_priority(self) -> None:
        """A broker cuts a priority that is too high down to what the queue knows, unsaid."""
        priority = self._options.priority
        if priority is not None and priority > self._spec.queue.max_priority:
            raise InvalidArgument(
                f"priority {priority} is more than the {self._spec.queue.max_priority} of the"
                " method; declare it with @method(priority_levels=...)",
                method=self._spec.key,
            )

    # -- options ------------------------------------------------------------------------------

    def _codec_of(self, content_type: str | None) -> MethodCodec:
        content_type = content_type or self._spec.content_type
        codec = getattr(self, "_codec", None)
        if codec is not None and codec.content_type == content_type:
            return self._codec
        try:
            return self._make_codec(content_type)
        except ContractError as error:
            raise InvalidArgument(str(error), method=self._spec.key) from error

    def _make_codec(self, content_type: str) -> MethodCodec:
        return method_codec(content_type, self._spec.parameters, self._spec.result)

    def _packed_headers(self) -> bytes:
        try:
            headers = _DIALECT.headers(
                metadata=self._options.metadata or None,
                idempotency_key=self._options.idempotency_key,
            )
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"the metadata cannot be sent: {error}") from error
        self._request.check_headers(headers)
        return headers

    # -- middleware ---------------------------------------------------------------------------

    async def _through_middleware(
        self, chain: CallNext, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            arguments = self._parameters(*args, **kwargs)
        except TypeError as error:
            self._refuse(error)
        named = arguments if isinstance(arguments, dict) else asdict(arguments)
        return await chain(
            OutgoingCall(
                method=self._spec.key,
                arguments=named,
                metadata=dict(self._options.metadata or {}),
                timeout=self._timeout,
            )
        )

    async def _innermost(self, call: OutgoingCall) -> Any:
        method: RemoteMethod = self
        if call.timeout != self._timeout or call.metadata != (self._options.metadata or {}):
            changes = {"timeout": call.timeout, "metadata": call.metadata}
            options = self._options.merged(changes)
            method = type(self)(self._client, self._spec, options, (), self._safeguards)
        return await method._past_middleware((), call.arguments)  # noqa: SLF001 - of this class

    def _past_middleware(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        if self._guard is None:
            return self.call(args, kwargs)
        return self._guarded(self._guard, args, kwargs)

    # -- errors -------------------------------------------------------------------------------

    def _refuse(self, error: Exception) -> NoReturn:
        raise InvalidArgument(str(error), method=self._spec.key) from error

    def _bad_result(self, error: Exception) -> NoReturn:
        raise InvalidResult(
            f"the reply does not fit the contract: {error}", method=self._spec.key
        ) from error


class Remote:
    """A service on the other side of the broker; its methods are `RemoteMethod`s."""

    def __init__(
        self,
        client: Client,
        spec: ServiceSpec,
        options: CallOptions,
        middleware: tuple[Middleware, ...],
        safeguards: Safeguards,
    ) -> None:
        self._leveret = (client, spec, options, middleware, safeguards)
        self.__doc__ = spec.doc

    def __getattr__(self, name: str) -> RemoteMethod:
        # Only the first access comes here: the method is kept as an attribute.
        if name.startswith("__"):
            raise AttributeError(name)
        client, spec, options, middleware, safeguards = self._leveret
        method = spec.methods.get(name)
        if method is None:
            raise AttributeError(
                f"{name!r} is no remote method of {spec.name}; it has"
                f" {', '.join(sorted(spec.methods))}"
            )
        remote = RemoteMethod(client, method, options, middleware, safeguards)
        self.__dict__[name] = remote
        return remote

    def with_options(self, **options: Unpack[GivenOptions]) -> Remote:
        """The same remote with other options for its calls; `Service.with_options` lists them."""
        client, spec, before, middleware, safeguards = self._leveret
        return Remote(client, spec, before.merged(options), middleware, safeguards)

    def __dir__(self) -> list[str]:
        return sorted((*self._leveret[1].methods, "with_options"))

    def __repr__(self) -> str:
        return f"<remote service {self._leveret[1].name}>"


def remote_of(
    contract: type[Service],
    client: Client,
    options: CallOptions,
    middleware: tuple[Middleware, ...],
    safeguards: Safeguards,
) -> Remote:
    """A remote of a contract.

    :raises ContractError: if it is no service class, or has no methods.
    """
    spec = spec_of(contract)
    if not spec.methods:
        raise ContractError(f"{contract.__name__} has no remote methods: mark them with @method")
    return Remote(client, spec, options, middleware, safeguards)
