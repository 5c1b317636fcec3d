"""The typed remote: an object whose methods are calls over the network.

`Remote` is what `rabbit.remote(Contract)` returns; its type, for mypy and pyright, is the contract.
It does not derive from the contract: only remote methods are reachable on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, Unpack

from leveret.client.invocation import Invocation, Terms
from leveret.client.invocations import Invocations
from leveret.client.middleware import CallNext, Middleware, OutgoingCall, compose
from leveret.client.options import (
    OF_A_CALL,
    CallOptions,
    GivenOptions,
    check_metadata,
    check_timeout,
)
from leveret.contract import MethodSpec, Service, ServiceSpec, given_arguments, spec_of
from leveret.errors import ContractError, InvalidArgument


class _SignatureOfMethod:
    """What `inspect.signature` looks for: the parameters of the method, made only then."""

    def __get__(self, method: RemoteMethod | None, owner: type[RemoteMethod]) -> Any:
        if method is None:
            raise AttributeError("__signature__")  # the class has that of its __init__
        return method._signature()  # noqa: SLF001 - a part of it


class RemoteMethod:
    """One method of a remote service. Calling it sends a request and awaits the reply.

    :param invocation: that of the method with these options.
    :raises InvalidArgument: if the metadata cannot be sent.
    """

    __signature__ = _SignatureOfMethod()

    def __init__(
        self,
        invocation: Invocation,
        spec: MethodSpec,
        options: CallOptions,
        middleware: tuple[Middleware, ...] = (),
    ) -> None:
        self._spec = spec
        self._options = options
        self._invocation = invocation
        self._terms = self._terms_with(options.timeout or spec.timeout, options.metadata)
        self._chain: CallNext | None = None
        if middleware:
            self._chain = compose(middleware, self._innermost)
        self.__doc__ = spec.doc

    @property
    def __name__(self) -> str:
        """The name of the method in Python."""
        return self._spec.attribute

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """One call, through the middleware if there is any.

        :raises CallError: however it fails, once it is awaited.
        """
        if self._chain is None:
            return self._invocation.call(args, kwargs, self._terms)
        return self._through_middleware(self._chain, args, kwargs)

    def _signature(self) -> inspect.Signature:
        signature = inspect.signature(self._spec.parameters)
        return signature.replace(return_annotation=self._spec.result)

    def __repr__(self) -> str:
        return f"<remote method {self._spec.key}>"

    def _terms_with(self, timeout: float, metadata: dict[str, str] | None) -> Terms:
        """The terms of a call.

        :raises InvalidArgument: if the metadata cannot be sent.
        """
        key = self._options.idempotency_key
        headers = b""
        if metadata or key is not None:
            dialect = self._invocation.request.dialect
            try:
                headers = dialect.headers(metadata=metadata, idempotency_key=key)
            except (TypeError, ValueError) as error:
                raise InvalidArgument(f"the metadata cannot be sent: {error}") from error
        return Terms(timeout=timeout, headers=headers, reply_metadata=self._options.reply_metadata)

    async def _through_middleware(
        self, chain: CallNext, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            arguments = self._invocation.parameters(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgument(str(error), method=self._spec.key) from error
        return await chain(
            OutgoingCall(
                method=self._spec.key,
                arguments=arguments if isinstance(arguments, dict) else given_arguments(arguments),
                metadata=dict(self._options.metadata or {}),
                timeout=self._terms.timeout,
            )
        )

    def _innermost(self, call: OutgoingCall) -> Coroutine[Any, Any, Any]:
        """The call as the middleware left it."""
        terms = self._terms
        if call.timeout != terms.timeout or call.metadata != (self._options.metadata or {}):
            check_timeout(call.timeout)
            check_metadata(call.metadata)
            terms = self._terms_with(call.timeout, call.metadata)
        return self._invocation.call((), call.arguments, terms)


class Remote:
    """A service on the other side of the broker; its methods are `RemoteMethod`s.

    :param made: the invocations of its methods, by name. A remote that differs from another in
        nothing that makes requests differ shares them with it.
    """

    def __init__(
        self,
        invocations: Invocations,
        spec: ServiceSpec,
        options: CallOptions,
        made: dict[str, Invocation],
    ) -> None:
        self._leveret = (invocations, spec, options, made)
        self.__doc__ = spec.doc

    def __getattr__(self, name: str) -> RemoteMethod:
        # Only the first access comes here: the method is kept as an attribute.
        if name.startswith("__"):
            raise AttributeError(name)
        invocations, spec, options, made = self._leveret
        method = spec.methods.get(name)
        if method is None:
            raise AttributeError(
                f"{name!r} is no remote method of {spec.name}; it has"
                f" {', '.join(sorted(spec.methods))}"
            )
        invocation = made.get(name)
        if invocation is None:
            invocation = made[name] = invocations.of(method, options)
        remote = RemoteMethod(invocation, method, options, invocations.middleware)
        self.__dict__[name] = remote
        return remote

    def with_options(self, **options: Unpack[GivenOptions]) -> Remote:
        """The same remote with other options for its calls; `Service.with_options` lists them."""
        invocations, spec, before, made = self._leveret
        if not options.keys() <= OF_A_CALL:
            made = {}
        return Remote(invocations, spec, before.merged(options), made)

    def __dir__(self) -> list[str]:
        return sorted((*self._leveret[1].methods, "with_options"))

    def __repr__(self) -> str:
        return f"<remote service {self._leveret[1].name}>"


def remote_of(contract: type[Service], invocations: Invocations, options: CallOptions) -> Remote:
    """A remote of a contract.

    :raises ContractError: if it is not a service class, or has no methods.
    """
    spec = spec_of(contract)
    if not spec.methods:
        raise ContractError(f"{contract.__name__} has no remote methods: mark them with @method")
    return Remote(invocations, spec, options, {})
