"""Reads a service class into its `ServiceSpec` when it is defined, and refuses what cannot work.

An attribute is remote when `@method` marks it in the class or in any base. Python's own lookup
order says which definition runs. Options are merged along it: an override inherits the options that
it does not give itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from leveret.annotations import Hook, TypeArguments
from leveret.codec import BUFFERS, JSON, buffered_in, item_codec, method_codec
from leveret.contract import limits
from leveret.contract.attempts import hedge_option, retry_option
from leveret.contract.concurrency import concurrency_option
from leveret.contract.declaration import (
    DEFAULTS,
    Declaration,
    declaration_of,
    declare,
    is_marked,
    streaming,
)
from leveret.contract.hooks import hooks_option
from leveret.contract.parameters import parameters_struct
from leveret.contract.signature import Signature, read_signature
from leveret.contract.specification import Executor, MethodSpec, ServiceSpec
from leveret.contract.streams import check_stream_options
from leveret.errors import ContractError
from leveret.snake_case import snake_case

__all__ = ["read_service"]


def read_service(
    cls: type,
    given_name: str | None,
    given_types: Any,
    given_version: str | None = None,
    given_metadata: Any = None,
) -> ServiceSpec:
    """Read a class that derives from `Service`.

    A plain `def` that overrides a remote method is replaced by its awaitable form.

    :param given_name: its `name=`, None if it has none.
    :param given_types: its `types=`.
    :param given_version: its `version=`. Without one, that of a base applies, as for metadata.
    :param given_metadata: its `metadata=`.

    :raises ContractError: for a class that cannot work; the message says what is wrong and why.
    """
    where = cls.__qualname__.rpartition("<locals>.")[2]
    name = _service_name(cls, where) if given_name is None else given_name
    limits.check_service_name(name, where)
    given = TypeArguments(cls)
    inherited = [hook for _, spec in _service_bases(cls) for hook in spec.hooks]
    hooks = hooks_option(given_types, inherited, where)
    methods = {
        attribute: _read_method(cls, given, hooks, name, attribute, f"{where}.{attribute}")
        for attribute in _remote_attributes(cls)
    }
    _refuse_shared_names(methods, where)
    return ServiceSpec(
        name=name,
        doc=_first_doc(cls, *(base for base, _ in _service_bases(cls))),
        methods=MappingProxyType(methods),
        abstract=_is_abstract(cls),
        type_variables=tuple(
            dict.fromkeys(name for spec in methods.values() for name in spec.type_variables)
        ),
        hooks=hooks,
        version=_version(cls, given_version, where),
        metadata=_metadata(cls, given_metadata, where),
    )


def _version(cls: type, given: object, where: str) -> str:
    if given is None:
        return next((spec.version for _, spec in _service_bases(cls) if spec.version), "")
    limits.check_version(given, where)
    return str(given)


def _metadata(cls: type, given: object, where: str) -> Mapping[str, str]:
    if given is None:
        inherited = (spec.metadata for _, spec in _service_bases(cls) if spec.metadata)
        return next(inherited, {})
    return MappingProxyType(limits.service_metadata(given, where))


def _service_bases(cls: type) -> Iterator[tuple[type, ServiceSpec]]:
    """Yield the services the class derives from, nearest first."""
    for base in cls.__mro__[1:]:
        spec = vars(base).get("__leveret__")
        if isinstance(spec, ServiceSpec):
            yield base, spec


def _service_name(cls: type, where: str) -> str:
    """Return the name of the contract that the class implements, or its own in snake case."""
    contracts = [
        (base, spec.name)
        for base, spec in _service_bases(cls)
        if spec.abstract and not spec.type_variables  # what has some is a contract of many services
    ]
    if not contracts:
        return snake_case(cls.__name__)
    nearest, name = contracts[0]
    for other, other_name in contracts:
        if other_name != name and not issubclass(nearest, other):
            raise ContractError(
                f"{where}: it implements {nearest.__qualname__} and {other.__qualname__}, which "
                "are different services; implement each in a class of its own, or give name=..."
            )
    return name


def _remote_attributes(cls: type) -> list[str]:
    """Return the attributes that `@method` marks in the class or a base, in order of definition."""
    names = {
        attribute: None
        for base in reversed(cls.__mro__)
        for attribute, definition in vars(base).items()
        if is_marked(definition)
    }
    return list(names)


def _is_abstract(cls: type) -> bool:
    # ABCMeta computes __abstractmethods__ only after __init_subclass__.
    attributes = {attribute for base in cls.__mro__ for attribute in vars(base)}
    return any(
        getattr(inspect.getattr_static(cls, attribute), "__isabstractmethod__", False)
        for attribute in attributes
    )


def _read_method(
    cls: type,
    given: TypeArguments,
    hooks: tuple[Hook[Any], ...],
    service: str,
    attribute: str,
    where: str,
) -> MethodSpec:
    limits.check_attribute(attribute, where)
    owners = [base for base in cls.__mro__ if attribute in vars(base)]
    definitions = [vars(base)[attribute] for base in owners]
    declared = [declaration_of(definition, where) for definition in definitions]
    declaration = declared[0] or _declare_override(cls, attribute, definitions[0], where)
    options = dict(DEFAULTS)
    for earlier in reversed(declared):
        options.update(earlier.given if earlier else {})
    name = attribute if options["name"] is None else options["name"]
    limits.check_method_name(service, name, where)
    signature = read_signature(declaration.function, cls, given.of(owners[0]), hooks, where)
    if signature.streams:
        declaration = _streaming(cls, attribute, declaration, on_loop=signature.on_loop)
    content_type = _content_type(options["content_type"], signature, where)
    idempotent = limits.flag("idempotent", options["idempotent"], where)
    concurrency, adaptive = concurrency_option(options["concurrency"], where)
    one_way = limits.one_way(options, signature.result, where)
    keep_failed = limits.keep_failed(options["keep_failed"], service, name, where)
    spec = MethodSpec(
        service=service,
        name=name,
        attribute=attribute,
        doc=_first_doc(*definitions),
        parameters=parameters_struct(signature, attribute, content_type, where),
        result=signature.result,
        timeout=limits.timeout(options["timeout"], where),
        idempotent=idempotent,
        once=limits.flag("once", options["once"], where),
        raises=limits.errors_by_code(options["raises"], hooks, where),
        concurrency=concurrency,
        adaptive=adaptive,
        executor=_executor(declaration, options["executor"], where),
        queue=limits.queue_options(options, where),
        content_type=content_type,
        keyword_only=signature.keyword_only,
        retry=retry_option(options["retry"], where),
        hedge=hedge_option(options["hedge"], idempotent=idempotent, where=where),
        one_way=one_way,
        keep_failed=keep_failed,
        streams=signature.streams,
        upload=signature.upload,
        resume=limits.flag("resume", options["resume"], where),
        type_variables=signature.open,
    )
    check_stream_options(spec, where)
    _refuse_other_than_inherited(cls, given, hooks, spec, signature, where)
    _refuse_unfit_content_type(spec, where)
    return spec


def _content_type(given: object, signature: Signature, where: str) -> str:
    if given is not None:
        return limits.content_type(given, where)
    of_all = [*(parameter.annotation for parameter in signature.parameters), signature.result]
    of_all += [] if signature.upload is None else [signature.upload.item]
    return BUFFERS if any(map(buffered_in, of_all)) else JSON


def _declare_override(cls: type, attribute: str, definition: Any, where: str) -> Declaration:
    """Treat an override without `@method` as if it had `@method` without options."""
    if inspect.iscoroutinefunction(definition) or inspect.isasyncgenfunction(definition):
        # Left unmarked: it may come from a class that is no service, and is not ours to change.
        return Declaration(function=definition, plain=None, given={})
    declaration = declare(definition, {}, where)
    setattr(cls, attribute, declaration.function)
    return declaration


def _streaming(
    cls: type, attribute: str, declaration: Declaration, *, on_loop: bool
) -> Declaration:
    """Put a function that returns an async iterator into the class, also for a plain `def`."""
    made = streaming(declaration, on_loop=on_loop)
    if made is not declaration:
        setattr(cls, attribute, made.function)
    return made


def _executor(declaration: Declaration, executor: object, where: str) -> Executor:
    if executor not in (None, "thread", "process"):
        raise ContractError(f'{where}: executor is {executor!r}; write "thread" or "process"')
    if declaration.plain is not None:
        return "process" if executor == "process" else "thread"
    if declaration.given.get("executor") is not None:
        raise ContractError(
            f"{where}: an `async def`, and what returns an AsyncIterator, runs on the event loop; "
            f"write a plain `def` to run it in a {executor}, or drop executor="
        )
    return "loop"


def _refuse_other_than_inherited(
    cls: type,
    given: TypeArguments,
    hooks: tuple[Hook[Any], ...],
    spec: MethodSpec,
    signature: Signature,
    where: str,
) -> None:
    """Refuse an override that callers of the overridden method could not call."""
    for base, service in _service_bases(cls):
        definition = vars(base).get(spec.attribute)
        overridden = service.methods.get(spec.attribute)
        if overridden is None or definition is None:
            continue
        theirs = read_signature(
            definition,
            base,
            given.of(base),
            hooks,
            f"{base.__qualname__}.{spec.attribute}",
        )
        if not signature.carries_calls_of(theirs):
            raise ContractError(
                f"{where}: its signature is {signature}, but {base.__qualname__} declares "
                f"{theirs}; write the same names and annotations"
            )
        if service.abstract and service.name == spec.service and overridden.name != spec.name:
            raise ContractError(
                f"{where}: its name is {spec.name!r}, but {base.__qualname__} declares "
                f"{overridden.name!r}, which callers use; drop name="
            )


def _refuse_unfit_content_type(spec: MethodSpec, where: str) -> None:
    try:
        method_codec(spec.content_type, spec.parameters, spec.result)
        if spec.upload is not None:
            item_codec(spec.content_type, spec.upload.item)
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from error


def _refuse_shared_names(methods: Mapping[str, MethodSpec], where: str) -> None:
    by_name: dict[str, MethodSpec] = {}
    for spec in methods.values():
        other = by_name.setdefault(spec.name, spec)
        if other is not spec:
            raise ContractError(
                f"{where}: {other.attribute} and {spec.attribute} both have the name "
                f"{spec.name!r}; give one of them another with @method(name=...)"
            )


def _first_doc(*owners: Any) -> str:
    """Return the first docstring among these, without its indentation."""
    return next((inspect.cleandoc(owner.__doc__) for owner in owners if owner.__doc__), "")
