"""A whole AsyncAPI 3.1 document: channels, operations and messages of the methods of services.

A method is a channel that its servers receive requests from, with a reply channel that has no
address: where replies go is in each request. AsyncAPI has no notion of errors, streams, timeouts or
idempotence, nor of a queue's arguments. Those are tags, and the extension `x-leveret`.
(https://www.asyncapi.com/docs/reference/specification/v3.1.0, AMQP bindings 0.3.0)
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from leveret.asyncapi.messages import (
    Message,
    declared_error,
    end,
    generic_error,
    item,
    request,
    result,
)
from leveret.asyncapi.schemas import as_draft_07
from leveret.contract import QueueOptions, fingerprint
from leveret.contract.hoisting import Hoisted
from leveret.errors import ContractError
from leveret.transport.address import Address
from leveret.wire.native.names import EXCHANGE
from leveret.wire.native.topology import arguments_of

__all__ = ["asyncapi"]

_VERSION: Final = "3.1.0"
_BINDING: Final = "0.3.0"
_SCHEMAS: Final = "#/components/schemas/"
_UNREADABLE: Final = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What comes of a description that is none."""
_TOLD: Final = ("timeout", "idempotent", "once", "one_way", "keep_failed", "resume", "retry")
_ALSO: Final = ("hedge", "keyword_only", "priority_levels")
_PROTOCOL: Final = (
    "Calls over RabbitMQ by Leveret's wire protocol 1. A request goes to the exchange `leveret`,"
    " mandatory and in confirm mode; its reply comes to the queue that `reply_to` names, by the"
    " default exchange. There the AMQP property `type` tells results, errors and items of streams"
    " apart, and from notices and requests that the broker sent back, which are not described here."
)


def asyncapi(
    descriptions: Iterable[Mapping[str, Any]],
    *,
    title: str = "",
    version: str = "",
    broker: Address | None = None,
) -> dict[str, Any]:
    """Describe services.

    :param descriptions: each as `service_schema` gives it.
    :param title: the names of the services, if it is "".
    :param version: if it is "", that of the services, where all have the same; else a hash of the
        contracts.
    :param broker: where they are served, for its nodes as servers; without user and password.
    :raises ContractError: if a description cannot be read.
    """
    services = list(descriptions)
    try:
        found = _Document().of(services, title, version)
    except _UNREADABLE as error:
        raise ContractError(f"the description of a service cannot be read: {error!r}") from error
    if broker is not None:
        found["servers"] = _servers(broker)
    return found


def _servers(broker: Address) -> dict[str, Any]:
    """Each node of a broker."""
    return {
        f"node-{number}": {
            "host": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "pathname": f"/{'' if broker.vhost == '/' else quote(broker.vhost, safe='')}",
            "protocol": "amqp" if broker.tls is None else "amqps",
            "protocolVersion": "0.9.1",
        }
        for number, (host, port) in enumerate(broker.hosts, 1)
    }


class _Document:
    def __init__(self) -> None:
        self._hoisted = Hoisted(_SCHEMAS)
        self._messages: dict[str, Message] = {"error": generic_error()}
        self._channels: dict[str, Any] = {}
        self._operations: dict[str, Any] = {}

    def of(self, services: list[Mapping[str, Any]], title: str, version: str) -> dict[str, Any]:
        for service in services:
            for name, method in service["methods"].items():
                key = f"{service['service']}.{name}"
                self._method(str(service["service"]), key, method)
                if service.get("starts") is True:
                    self._operations[key]["x-leveret"]["starts"] = True
        definitions = self._hoisted.definitions.items()
        about = [str(service["doc"]) for service in services if service.get("doc")]
        return {
            "asyncapi": _VERSION,
            "info": {
                "title": title or ", ".join(str(service["service"]) for service in services),
                "version": version or _common_version(services) or _hash(services),
                "description": "\n\n".join((*map(inspect.cleandoc, about), _PROTOCOL)),
            },
            "defaultContentType": "application/json",
            "channels": self._channels,
            "operations": self._operations,
            "components": {
                "messages": self._messages,
                "schemas": {name: as_draft_07(schema) for name, schema in definitions},
            },
        }

    def _place(self, schema: Mapping[str, Any]) -> Any:
        return as_draft_07(self._hoisted.schema(schema))

    def _method(self, service: str, key: str, method: Mapping[str, Any]) -> None:
        message = request(key, method, self._place)
        self._channel(key, {"request": message}, _request_channel(key, method))
        operation: dict[str, Any] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{key}"},
            **_words(method),
            "tags": [{"name": service}, *_tags(method)],
            "messages": [{"$ref": f"#/channels/{key}/messages/request"}],
            "bindings": {"amqp": _operation_binding(method)},
        }
        if method.get("one_way") is not True:
            operation["reply"] = self._reply(key, method)
        told = {name: method[name] for name in (*_TOLD, *_ALSO) if name in method}
        told["errors"] = list(method.get("errors", {}))
        if "upload" in method:
            told["upload"] = self._upload(service, key, method)
        directions = ("items" if method.get("streams") is True else "", "upload" in method)
        if any(directions):
            told["stream"] = "both" if all(directions) else directions[0] or "upload"
        self._operations[key] = operation | {"x-leveret": told}

    def _reply(self, key: str, method: Mapping[str, Any]) -> dict[str, Any]:
        content_type = str(method.get("content_type", "application/json"))
        gives: dict[str, Message] = {"result": result(key, method, self._place)}
        if method.get("streams") is True:
            gives = {
                "item": item(f"{key}.item", method["result"], content_type, self._place),
                "end": end(f"{key}.end"),
            }
        for code, schema in method.get("errors", {}).items():
            gives[f"error.{code}"] = declared_error(key, str(code), schema, self._place)
        channel = f"{key}.reply"
        about = "The reply queue of a client; its name is in each request."
        self._channel(channel, gives, {"address": None, "description": about}, with_error=True)
        return {
            "address": {"location": "$message.header#/reply_to"},
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [
                {"$ref": f"#/channels/{channel}/messages/{name}"} for name in (*gives, "error")
            ],
        }

    def _upload(self, service: str, key: str, method: Mapping[str, Any]) -> dict[str, Any]:
        """The channel that the items of an upload come by, and what the operation says of it."""
        upload, channel = method["upload"], f"{key}.upload"
        content_type = str(method.get("content_type", "application/json"))
        messages = {
            "item": item(f"{channel}.item", upload["item"], content_type, self._place),
            "end": end(f"{channel}.end"),
        }
        about = "The inbox of the server that has the call, which it names in its first message."
        self._channel(channel, messages, {"address": None, "description": about})
        self._operations[channel] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{channel}"},
            "title": f"What is uploaded to {key}",
            "tags": [{"name": service}, {"name": "stream"}],
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
        }
        return {"name": upload["name"], "operation": channel}

    def _channel(
        self,
        name: str,
        messages: Mapping[str, Message],
        more: Mapping[str, Any],
        *,
        with_error: bool = False,
    ) -> None:
        """Add a channel, and its messages to those of the document."""
        references: dict[str, Any] = {}
        for short, message in messages.items():
            full = str(message["name"])
            self._messages[full] = message
            references[short] = {"$ref": f"#/components/messages/{full}"}
        if with_error:
            references["error"] = {"$ref": "#/components/messages/error"}
        self._channels[name] = {**more, "messages": references}


def _request_channel(key: str, method: Mapping[str, Any]) -> dict[str, Any]:
    options = QueueOptions(
        type=method.get("queue_type", "classic"),
        max_length=method.get("max_length"),
        expires=method.get("expires"),
        max_priority=method.get("priority_levels", 0),
    )
    exchange = {"name": EXCHANGE, "type": "direct", "durable": True, "autoDelete": False}
    return {
        "address": key,
        "bindings": {
            "amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": _BINDING}
        },
        "x-leveret": {
            "queue": {
                "name": method.get("queue", f"leveret.{key}"),
                "durable": True,
                "exclusive": False,
                "autoDelete": False,
                "arguments": arguments_of(options),
            }
        },
    }


def _operation_binding(method: Mapping[str, Any]) -> dict[str, Any]:
    binding: dict[str, Any] = {"mandatory": True, "ack": True, "bindingVersion": _BINDING}
    if method.get("one_way") is True:
        return {**binding, "deliveryMode": 2}
    milliseconds = int(float(method.get("timeout", 10.0)) * 1000) or 1
    return {**binding, "deliveryMode": 1, "expiration": milliseconds}


def _words(method: Mapping[str, Any]) -> dict[str, str]:
    doc = method.get("doc")
    if not isinstance(doc, str) or not doc:
        return {}
    return {"summary": doc.partition("\n")[0], "description": doc}


def _tags(method: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if method.get("streams") is True or "upload" in method:
        yield {"name": "stream"}
    if method.get("one_way") is True:
        yield {"name": "one-way"}


def _common_version(services: list[Mapping[str, Any]]) -> str:
    """The version that all services have; "" if they differ, or one has none."""
    found = {str(service.get("version", "")) for service in services}
    return found.pop() if len(found) == 1 else ""


def _hash(services: Iterable[Mapping[str, Any]]) -> str:
    """A text that changes with the contracts, and with nothing else."""
    hashes = {
        f"{service['service']}.{name}": fingerprint(method)
        for service in services
        for name, method in service["methods"].items()
    }
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return fingerprint({"arguments": hashes})
