"""`Service`, the base of every service, and functions that look at one."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Collection, Mapping
from types import MethodType
from typing import Any, ClassVar, Literal, Self, get_origin

from leveret.annotations import Hook
from leveret.contract.attempts import Hedge, Retry
from leveret.contract.class_reading import read_service
from leveret.contract.declaration import declaration_of
from leveret.contract.progress import Progress
from leveret.contract.specification import MethodSpec, ServiceSpec
from leveret.errors import ContractError

__all__ = ["Service", "handler_of", "spec_of", "usable_spec_of"]


class Service(ABC):
    """Base of every service: contract, typed client and, where its methods have bodies, server.

    A service is named after its class in snake case, or `class F(Service, name="fibonacci")`. A
    class with abstract methods is a contract; its implementations keep its name. A subclass of any
    other service inherits the methods, and has a name of its own.

    `class Shop(Service, types=[Hook(Money, str, encode=str, decode=Money.parse)])` says how
    values of a type travel that Leveret does not know, in all methods of the service and of its
    subclasses.

    `class Shop(Service, version="1.4.2", metadata={"team": "stock"})` is shown, with
    the name, to those who look at its servers. Neither is part of the contract.

    :raises ContractError: when a subclass is defined that cannot work.
    """

    __leveret__: ClassVar[ServiceSpec]

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        types: Collection[Hook[Any]] = (),
        version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.__leveret__ = read_service(cls, name, types, version, metadata)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        total_timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        reply_metadata: dict[str, Any] | None = None,
        priority: int | None = None,
        if_busy: Literal["wait", "fail"] | None = None,
        wait_for_server: bool | None = None,
        wait_for_connection: bool | None = None,
        idempotency_key: str | None = None,
        content_type: str | None = None,
        expires_in: float | None = None,
        retry: Retry | Literal[False] | None = None,
        hedge: Hedge | float | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Self:
        """Return the same service with these options for its calls; None leaves one unchanged.

        A remote from `rabbit.remote(...)` does so. A local instance is returned unchanged: a local
        call does not travel, so none of this applies to it.

        :param timeout: seconds each call may take; for a stream, the time until its server's first
            message.
        :param idle_timeout: for a stream: seconds that its consumer waits for an item at most.
        :param total_timeout: for a stream: seconds from its start to its end.
        :param metadata: sent with each call, for the handler's `current_call().metadata`.
        :param reply_metadata: a dict that receives the metadata that the handler sends with its
            result.
        :param priority: 0 to the method's `priority_levels`; calls with a higher one are served
            first.
        :param if_busy: "fail" raises `Busy` when no server can take the call at this moment.
        :param wait_for_server: wait for a server to start instead of raising `NoServer`.
        :param wait_for_connection: False raises `ConnectionLost` at once while the connection is
            broken, and `Busy` while the broker blocks publishers, instead of waiting.
        :param idempotency_key: a name for what is to be done once, even if the caller asks again
            after a crash: if a server knows the key, the call gets the recorded reply.
        :param content_type: how the bodies are encoded, instead of as the method says.
        :param expires_in: for one-way requests: seconds after which servers no longer begin them.
            Without it they wait without limit. Other calls end by their timeout.
        :param retry: a `Retry`: how each call is retried after a failure, within its deadline;
            False turns off what the method or `connect` says.
        :param hedge: for idempotent methods: seconds, or a `Hedge`, after which a second request is
            sent in addition to a slow one; False turns off what the method or `connect` says.
        :param on_progress: a plain function that is called on the event loop with a `Progress`, up
            to four times a second, with the handler's progress reports
            (`current_call().progress(...)`). It must not block; its exceptions are logged.
        """
        return self


def spec_of(service: type[Service] | Service) -> ServiceSpec:
    """Return the specification of a service, by its class or an instance.

    :raises ContractError: for anything that is not a subclass of `Service`.
    """
    cls: type = service if isinstance(service, type) else type(service)
    if not issubclass(cls, Service) or cls is Service:
        raise ContractError(_no_service(service, cls))
    return cls.__leveret__


def usable_spec_of(service: type[Service] | Service) -> ServiceSpec:
    """Return the specification of a service, checked for being served or called.

    :raises ContractError: if it is not a service, has no methods, or is generic.
    """
    spec = spec_of(service)
    name = service.__name__ if isinstance(service, type) else type(service).__name__
    if not spec.methods:
        raise ContractError(f"{name} has no remote methods: mark them with @method")
    if spec.type_variables:
        raise ContractError(
            f"{name} is generic, and nothing says what {', '.join(spec.type_variables)} is: derive "
            f"a class that says it, as in `class Items({name}[Item])`, and use that"
        )
    return spec


def _no_service(given: object, cls: type) -> str:
    """The error for something that is not a service, with what to do about it."""
    origin = get_origin(given)
    if isinstance(origin, type) and issubclass(origin, Service):
        return (
            f"{given} is a generic service with its types, and no class; derive one from it, as in "
            f"`class Items({origin.__name__}[Item])`, and use that"
        )
    if isinstance(given, str):
        return f"{given!r} is a text, not a service; give the class itself, without quotes"
    if cls.__module__ == "builtins" or cls is Service:
        return (
            f"{cls.__qualname__} is not a service; give a class that derives from leveret.Service"
        )
    return (
        f"{cls.__qualname__} is not a service; derive it from leveret.Service: "
        f"`class {cls.__qualname__}(Service)`"
    )


def handler_of(instance: Service, spec: MethodSpec) -> Callable[..., Any]:
    """Return the bound function that a server runs for a call.

    It is a coroutine function if `spec.executor` is "loop", otherwise the plain `def` itself, which
    must run off the event loop.
    """
    if spec.executor == "loop":
        bound: Callable[..., Any] = getattr(instance, spec.attribute)
        return bound
    function = getattr(type(instance), spec.attribute)
    declaration = declaration_of(function, spec.key)
    if declaration is None or declaration.plain is None:
        raise ContractError(f"{spec.key}: {type(instance).__qualname__} has another method there")
    return MethodType(declaration.plain, instance)
