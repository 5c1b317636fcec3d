"""The specification of a service from its servers' description, as its class would have it.

The description is what `service_schema` returns, and what servers answer to `info`. It is all that
a client needs to call the service without its class. Parts that cannot be read are left out, and
logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import new_class
from typing import Any, Final

import msgspec
from msgspec import Struct

from leveret.codec import RAW, TEXT, DescribedTypes, as_plain, is_argument, is_name
from leveret.contract.limits import MAX_SECONDS
from leveret.contract.signature import format_annotation
from leveret.contract.specification import MethodSpec, QueueOptions, ServiceSpec, Upload
from leveret.errors import ContractError, DeclaredError
from leveret.given_numbers import is_number

__all__ = ["described_service"]

log = logging.getLogger("leveret.client")

_KEPT: Final = 64
"""How many specifications are kept, so that the same description gives the same error classes."""
_RESERVED: Final = frozenset({"with_options"})
_UNREADABLE: Final = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""The errors that reading an invalid description raises, with `ContractError`."""
_TIMEOUT: Final = 10.0
_MOST_PRIORITY: Final = 255


class _Shown:
    """Stands in a signature for a default that only the server knows."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown


class DescribedError(DeclaredError):
    """An error that a service declares, with a class made from its description."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *map(as_plain, args), **{name: as_plain(value) for name, value in kwargs.items()}
        )


def described_service(description: Mapping[str, Any]) -> ServiceSpec:
    """Make the specification of a service with this description.

    :param description: what `service_schema` returns.
    :raises ContractError: if it does not describe a service, or has no method that can be called.
    """
    return _described_service(msgspec.json.encode(description))


@lru_cache(_KEPT)
def _described_service(description: bytes) -> ServiceSpec:
    found = msgspec.json.decode(description)
    try:
        service, doc, described = found["service"], found.get("doc"), found["methods"]
        methods = dict(_methods(service, described))
    except _UNREADABLE as error:
        raise ContractError(
            f"the description that its servers give cannot be read: {error}"
        ) from error
    if not methods:
        raise ContractError(f"{service}: its servers describe no method that can be called")
    return ServiceSpec(
        name=service, doc=doc if isinstance(doc, str) else "", methods=methods, abstract=True
    )


def _methods(service: str, described: Mapping[str, Any]) -> Iterator[tuple[str, MethodSpec]]:
    for name, method in described.items():
        try:
            if not is_name(name) or name in _RESERVED:
                raise ContractError("Python cannot have a method of this name")
            yield name, _method(service, name, method)
        except _UNREADABLE as error:
            log.warning(
                "%.100s.%.100s is left out, as its description cannot be read: %s",
                service,
                name,
                error,
            )


def _method(service: str, name: str, described: Mapping[str, Any]) -> MethodSpec:
    key = f"{service}.{name}"
    content_type = described.get("content_type", "application/json")
    arguments, result = (
        DescribedTypes(described[what], service) for what in ("arguments", "result")
    )
    parameters = _parameters(key, described, arguments, whole=content_type in (TEXT, RAW))
    annotation = result.of(described["result"])
    raises: dict[str, type[DeclaredError]] = {}
    objects = arguments.objects | result.objects
    upload = None
    if "upload" in described:
        items = DescribedTypes(described["upload"]["item"], service)
        upload = _upload(described["upload"], items, len(parameters.__struct_fields__))
        objects |= items.objects
    for code, fields in described.get("errors", {}).items():
        types = DescribedTypes(fields, service)
        error = _error(service, code, fields, types)
        if error is not None:
            raises[code] = error
            objects |= {kind: its for kind, its in types.objects.items() if kind != error.__name__}
    return MethodSpec(
        service=service,
        name=name,
        attribute=name,
        doc=_doc(described.get("doc"), objects, raises),
        parameters=parameters,
        result=annotation,
        timeout=_number(described.get("timeout"), _TIMEOUT, MAX_SECONDS),
        idempotent=described.get("idempotent") is True,
        raises=raises,
        concurrency=1,
        executor="loop",
        queue=QueueOptions(
            max_priority=int(_number(described.get("priority_levels"), 0, _MOST_PRIORITY))
        ),
        content_type=content_type,
        keyword_only=False,
        once=described.get("once") is True,
        one_way=described.get("one_way") is True,
        streams=described.get("streams") is True,
        upload=upload,
        resume=described.get("resume") is True,
        keep_failed=described.get("keep_failed") is True,
    )


def _upload(described: Mapping[str, Any], types: DescribedTypes, most: int) -> Upload:
    """The parameter that streams.

    :param most: the last place that it can have.
    """
    name, position = described["name"], described.get("position")
    if not is_argument(name):
        raise ContractError(f"Python cannot have an argument of the name {name!r}")
    at = position if type(position) is int and 0 <= position <= most else None
    return Upload(name=name, item=types.of(described["item"]), position=at)


def _parameters(
    key: str, described: Mapping[str, Any], types: DescribedTypes, *, whole: bool
) -> type[Struct]:
    """Make the struct of a method's parameters, in their order.

    A default that the description does not have is shown as `...`.

    :param whole: whether the only argument is the whole body, and must be given.
    """
    properties: Mapping[str, Any] = described["arguments"].get("properties", {})
    required = described["arguments"].get("required", ())
    by_keyword = set(described.get("keyword_only", ()))
    fields: dict[bool, list[Any]] = {False: [], True: []}
    for name, schema in properties.items():
        if not is_argument(name):
            raise ContractError(f"Python cannot have an argument of the name {name!r}")
        annotation = types.of(schema)
        field: tuple[Any, ...] = (name, annotation)
        if name not in required:
            try:
                field = (name, annotation, _shown(types.default(schema, annotation)))
            except KeyError:
                field = field if whole else (name, annotation, _Shown("..."))
        elif any(len(before) > len(field) for before in fields[False]):
            by_keyword.add(name)  # after one that can be left out it can stand only there
        fields[name in by_keyword].append(field)
    title = key.rpartition(".")[2]
    made = msgspec.defstruct(title, fields[False], forbid_unknown_fields=True)
    if not fields[True]:
        return made
    return msgspec.defstruct(
        title, fields[True], bases=(made,), forbid_unknown_fields=True, kw_only=True
    )


def _shown(value: Any) -> Any:
    """A default, or a stand-in for a default that calls must not share."""
    return _Shown(repr(value)) if isinstance(value, dict | list) else value


def _error(
    service: str, code: str, fields: Mapping[str, Any], types: DescribedTypes
) -> type[DeclaredError] | None:
    """Make the class of a declared error; None if that is impossible.

    Then the error is a `RemoteError` with this code and the fields in its `data`.
    """
    title = fields.get("title")
    name = title if is_name(title) else "".join(word.title() for word in code.split("_"))
    properties: Mapping[str, Any] = fields.get("properties", {})
    required = fields.get("required", ())
    annotations = {field: types.of(schema) for field, schema in properties.items()}
    body: dict[str, Any] = {
        "__annotations__": annotations,
        "__module__": service,
        "__doc__": fields.get("description") or f"{name}.",
    }
    for field, schema in properties.items():
        if field not in required:
            try:
                default = types.default(schema, annotations[field])
            except KeyError:
                default = None
            body[field] = None if isinstance(default, dict | list) else default
    try:
        return new_class(str(name), (DescribedError,), {"code": code}, lambda own: own.update(body))
    except _UNREADABLE as error:
        log.debug("%s of %s has no class: %s", code, service, error)
        return None


def _doc(
    doc: object,
    objects: Mapping[str, Mapping[str, Any]],
    raises: Mapping[str, type[DeclaredError]],
) -> str:
    """The docstring, with the Python names of the parameters."""
    parts = [doc] if isinstance(doc, str) and doc else []
    if objects:
        shown = (f"    {name}: {{{_members(members)}}}" for name, members in objects.items())
        parts.append("\n".join(("Dicts:", *shown)))
    if raises:
        errors = (
            f"    {error.__name__}({_members(error.__annotations__)})" for error in raises.values()
        )
        parts.append("\n".join(("Errors:", *errors)))
    return "\n\n".join(parts)


def _members(annotations: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {format_annotation(kind)}" for name, kind in annotations.items())


def _number(value: object, default: float, most: float) -> float:
    """A number in a description, if it is valid."""
    return value if is_number(value) and 0 < value <= most else default
