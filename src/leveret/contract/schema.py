"""JSON Schema (2020-12) of methods and services, for documents and tools."""

from __future__ import annotations

import inspect
import json
from typing import Any, Final

import msgspec

from leveret.codec import describe
from leveret.contract.service import Service, spec_of
from leveret.contract.specification import MethodSpec, ServiceSpec

__all__ = ["method_schema", "service_schema"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Final = "#/$defs/{name}"


def method_schema(spec: MethodSpec) -> dict[str, Any]:
    """Return the schemas of a method's bodies, each complete in itself.

    `{"arguments": schema, "result": schema, "errors": {code: schema}}`. They describe JSON bodies;
    in MessagePack the same objects have native dates and bytes.
    """
    return {
        "arguments": _schema(spec.parameters),
        "result": _schema(spec.result),
        "errors": {error.__sent_code__: _schema(error.fields) for error in spec.raises.values()},
    }


def service_schema(service: ServiceSpec | type[Service] | Service) -> dict[str, Any]:
    """Describe a service: its name and documentation, and by name each method with its schemas.

    Plain JSON values throughout; times are in seconds.
    """
    spec = service if isinstance(service, ServiceSpec) else spec_of(service)
    return {
        "service": spec.name,
        "doc": spec.doc,
        **({"version": spec.version} if spec.version else {}),
        "methods": {method.name: _method(method) for method in spec.methods.values()},
    }


def _method(spec: MethodSpec) -> dict[str, Any]:
    return {
        "key": spec.key,
        "queue": spec.queue_name,
        "doc": spec.doc,
        "timeout": spec.timeout,
        "idempotent": spec.idempotent,
        "once": spec.once,
        "content_type": spec.content_type,
        "priority_levels": spec.queue.max_priority,
        **{name: True for name in ("one_way", "keep_failed") if getattr(spec, name)},
        **_options(spec),
        **_by_keyword(spec),
        **_streams(spec),
        **method_schema(spec),
    }


def _options(spec: MethodSpec) -> dict[str, Any]:
    """The options of its queue and its calls that differ from the defaults."""
    queue = spec.queue
    found: dict[str, Any] = {}
    if queue.type != "classic":
        found["queue_type"] = queue.type
    for name in ("max_length", "expires"):
        if getattr(queue, name) is not None:
            found[name] = getattr(queue, name)
    for name in ("retry", "hedge"):
        policy = getattr(spec, name)
        if policy is not None:
            found[name] = policy and msgspec.to_builtins(policy)
    return found


def _streams(spec: MethodSpec) -> dict[str, Any]:
    """What streams, if anything does. If results stream, `result` is the schema of an item."""
    found: dict[str, Any] = {}
    if spec.streams:
        found["streams"] = True
    if spec.resume:
        found["resume"] = True
    if spec.upload is not None:
        upload = spec.upload
        found["upload"] = {"name": upload.name, "item": _schema(upload.item)}
        if upload.position is not None:
            found["upload"]["position"] = upload.position
    return found


def _by_keyword(spec: MethodSpec) -> dict[str, list[str]]:
    """The parameters that can be given by keyword only, if there are any."""
    taken = inspect.signature(spec.parameters).parameters.values()
    names = [parameter.name for parameter in taken if parameter.kind is parameter.KEYWORD_ONLY]
    return {"keyword_only": names} if names else {}


def _schema(annotation: Any) -> dict[str, Any]:
    """Return a schema that contains all it refers to, with its outermost object inline."""
    schema, definitions = describe(annotation, _REFERENCE)
    outermost = schema.get("$ref", "").removeprefix(_REFERENCE.format(name=""))
    if outermost and not _refers_to(definitions, schema["$ref"]):
        schema = definitions.pop(outermost)
    found = {"$schema": _DIALECT, **schema}
    if definitions:
        found["$defs"] = definitions
    # What stands in a Meta for people may be of any class.
    plain: dict[str, Any]
    try:
        plain = msgspec.to_builtins(found, str_keys=True, enc_hook=str)
    except TypeError:  # a dict in it has keys that JSON has no text for, as tuples
        plain = msgspec.to_builtins(_with_plain_keys(found), str_keys=True, enc_hook=str)
    try:
        msgspec.json.encode(plain)
    except UnicodeEncodeError:  # a default, or what is for people, has lone surrogates
        plain = json.loads(json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace"))
    return plain


def _with_plain_keys(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {
            key if isinstance(key, str | int | float) else str(key): _with_plain_keys(branch)
            for key, branch in tree.items()
        }
    return [*map(_with_plain_keys, tree)] if isinstance(tree, list | tuple) else tree


def _refers_to(tree: Any, reference: str) -> bool:
    """Whether a type refers to itself, so that it must keep its definition."""
    if isinstance(tree, dict):
        return tree.get("$ref") == reference or any(
            _refers_to(branch, reference) for branch in tree.values()
        )
    return isinstance(tree, list | tuple) and any(_refers_to(part, reference) for part in tree)
