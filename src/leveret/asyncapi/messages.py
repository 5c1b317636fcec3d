"""The messages of a method as Message Objects; docs/protocol.md has them on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from leveret.errors import Code

__all__ = ["Message", "declared_error", "end", "generic_error", "item", "request", "result"]

Message: TypeAlias = dict[str, Any]
Schema: TypeAlias = Mapping[str, Any]
Place: TypeAlias = Callable[[Schema], Any]
"""Puts a schema into the document, and gives what stands for it."""

_BINDING: Final = "0.3.0"
_CORRELATION: Final = {"location": "$message.header#/correlation_id"}
_JSON: Final = "application/json"
_WHOLE: Final = frozenset({"text/plain", "application/octet-stream"})
"""The content types in which the one argument is the whole body."""
_EXECUTED: Final = {
    "type": "string",
    "enum": ["no", "maybe", "yes"],
    "default": "maybe",
    "description": "Whether the handler ran.",
}


def request(key: str, method: Mapping[str, Any], place: Place) -> Message:
    """What a client sends."""
    content_type = str(method.get("content_type", _JSON))
    arguments = method["arguments"]
    payload = place(arguments)
    if content_type in _WHOLE:
        whole: Schema = next(iter(arguments.get("properties", {}).values()), {})
        payload = _body(content_type, {**whole, "$defs": arguments.get("$defs", {})}, place)
    return _message(f"{key}.request", "call", content_type, payload, title=f"A call of {key}") | {
        "headers": _request_headers(method)
    }


def result(key: str, method: Mapping[str, Any], place: Place) -> Message:
    """What a server answers."""
    content_type = str(method.get("content_type", _JSON))
    payload = _body(content_type, method["result"], place)
    return _message(f"{key}.result", "result", content_type, payload, title=f"What {key} returns")


def item(name: str, schema: Schema, content_type: str, place: Place) -> Message:
    """One item of a stream, in either direction."""
    found = _message(name, "item", content_type, _body(content_type, schema, place))
    return found | {"headers": _NUMBERED, "tags": [{"name": "stream"}]}


def end(name: str) -> Message:
    """The end of a stream, in either direction. It has no body."""
    found = _message(name, "end", "", None, title="The end of a stream")
    return found | {"headers": _NUMBERED, "tags": [{"name": "stream"}]}


def declared_error(key: str, code: str, schema: Schema, place: Place) -> Message:
    """An error that a method declares."""
    fields = place(schema)
    required = ["code", "message", *(["data"] if schema.get("required") else [])]
    payload = {
        "type": "object",
        "properties": {
            "code": {"const": code},
            "message": {"type": "string"},
            "executed": _EXECUTED,
            "type": {"type": "string"},
            "data": fields,
        },
        "required": required,
    }
    found = _message(
        f"{key}.error.{code}", "error", _JSON, payload, title=str(schema.get("title", code))
    )
    if isinstance(schema.get("description"), str):
        found["description"] = schema["description"]
    return found | {"tags": [{"name": "error"}]}


def generic_error() -> Message:
    """Any other error. No method can declare one of these codes, so exactly one message fits."""
    payload = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "enum": [str(code) for code in Code]},
            "message": {"type": "string"},
            "executed": _EXECUTED,
            "type": {"type": "string", "description": "The class of what the handler raised."},
            "where": {"type": "string", "enum": ["client", "queue", "handler", "unknown"]},
            "traceback": {"type": "string"},
            "retry_after": {"type": "number"},
        },
        "required": ["code", "message"],
    }
    found = _message("error", "error", _JSON, payload, title="An error that is not declared")
    return found | {"tags": [{"name": "error"}]}


def _message(name: str, kind: str, content_type: str, payload: Any, *, title: str = "") -> Message:
    found: Message = {
        "name": name,
        "title": title or name,
        "correlationId": _CORRELATION,
        "bindings": {"amqp": {"messageType": kind, "bindingVersion": _BINDING}},
    }
    if content_type:
        found["contentType"] = content_type
    if payload is not None:
        found["payload"] = payload
    return found


def _body(content_type: str, schema: Schema, place: Place) -> Any:
    if content_type == "application/octet-stream":
        return {"type": "string", "format": "binary"}
    return place(schema)


_NUMBERED: Final = {
    "type": "object",
    "properties": {
        "n": {
            "type": "integer",
            "minimum": 0,
            "description": "The number of an item, from 1 on; of an end, how many there were.",
        }
    },
    "required": ["n"],
}


def _request_headers(method: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "CC": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": 1,
            "description": "The name of the reply queue.",
        },
        "deadline": {
            "type": "integer",
            "description": "When the caller stops waiting, in ms since 1970-01-01 UTC.",
        },
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "idempotency-key": {"type": "string", "minLength": 1, "maxLength": 255},
        "resent": {"const": True},
        "progress": {"const": True},
    }
    needed = ["CC", "deadline"]
    if method.get("one_way") is True:
        del properties["CC"], properties["progress"]
        needed = []
    if method.get("streams") is True:
        for name in ("credit", "credit-bytes"):
            properties[name] = {"type": "integer", "minimum": 1}
            needed.append(name)
    if "upload" in method:
        properties["uploads"] = {"const": True}
        needed.append("uploads")
    if method.get("resume") is True:
        properties["cursor"] = {"type": "string"}
    return {"type": "object", "properties": properties, "required": needed}
