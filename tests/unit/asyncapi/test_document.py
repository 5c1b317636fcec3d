"""A whole document, and two rules of AsyncAPI that its parser does not check."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator

from leveret import CallError, ContractError, InvalidArgument, RemoteError, service_schema
from leveret.asyncapi import asyncapi
from leveret.transport.url import parse_url
from leveret.wire.failures import encode_failure
from leveret.wire.native.topology import queue_arguments
from tests.unit.asyncapi.services import Closed, Depot, Item, OutOfStock, Shop


@cache
def document() -> dict[str, Any]:
    """The document of both services. Made by the first test, where coverage counts."""
    made = asyncapi([service_schema(Shop), service_schema(Depot)])
    return dict(msgspec.json.decode(msgspec.json.encode(made)))


def found(reference: str) -> Any:
    at: Any = document()
    for name in reference.removeprefix("#/").split("/"):
        at = at[name]
    return at


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        for branch in tree.values():
            yield from references(branch)
    elif isinstance(tree, list):
        for branch in tree:
            yield from references(branch)


def fitting(key: str, kind: str, body: Any) -> list[str]:
    """The messages of a method's replies of one AMQP type that a body is."""
    messages = [found(it["$ref"]) for it in document()["operations"][key]["reply"]["messages"]]
    names = [found(it["$ref"])["name"] if "$ref" in it else it["name"] for it in messages]
    of_kind = [
        (name, message.get("payload", {}))
        for name in names
        if (message := document()["components"]["messages"][name])
        and message["bindings"]["amqp"]["messageType"] == kind
    ]
    return [
        name
        for name, payload in of_kind
        if Draft7Validator({**document(), **payload}).is_valid(body)
    ]


def test_every_reference_leads_somewhere_and_operations_to_messages_of_their_channels() -> None:
    for reference in references(document()):
        found(reference)
    for operation in document()["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(it["$ref"].startswith(f"{channel}/messages/") for it in operation["messages"])
        if "reply" in operation:
            reply = operation["reply"]
            there = f"{reply['channel']['$ref']}/messages/"
            assert all(it["$ref"].startswith(there) for it in reply["messages"])


def test_a_reply_channel_has_no_address_where_requests_say_it() -> None:
    replies = [it["reply"] for it in document()["operations"].values() if "reply" in it]
    assert len(replies) == len(Shop.__leveret__.methods) - 1 + len(Depot.__leveret__.methods)
    for reply in replies:
        assert reply["address"] == {"location": "$message.header#/reply_to"}
        assert found(reply["channel"]["$ref"])["address"] is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OutOfStock(sku="a"), "shop.order.error.OUT_OF_STOCK"),
        (OutOfStock(sku="a", left=2), "shop.order.error.OUT_OF_STOCK"),
        (Closed(), "shop.order.error.CLOSED"),
        (InvalidArgument("no"), "error"),
        (RemoteError("no", type_name="KeyError"), "error"),
    ],
)
def test_an_error_that_a_server_sends_is_one_and_only_one_of_the_messages(
    error: CallError, message: str
) -> None:
    body = msgspec.json.decode(encode_failure(error))
    assert fitting("shop.order", "error", body) == [message]


def test_a_result_or_an_item_is_one_and_only_one_of_the_messages() -> None:
    item = msgspec.to_builtins(Item(sku="a", price=Decimal("1.5"), parent=None))
    assert fitting("shop.order", "result", item) == ["shop.order.result"]
    assert fitting("shop.order", "result", {**item, "sku": ""}) == []
    assert fitting("shop.watch", "item", item) == ["shop.watch.item"]
    assert fitting("shop.watch", "result", item) == []


def test_the_arguments_of_a_call_are_checked_by_the_document() -> None:
    payload = document()["components"]["messages"]["shop.pets.request"]["payload"]
    Draft7Validator.check_schema(payload)
    good = {
        "pet": {"type": "Cat", "lives": 9},
        "size": {"width": 1},
        "pair": [1],
        "raw": "AAAA",
        "kind": 1,
        "counts": {"a": [1]},
        "both": [1, "a"],
        "some": [1],
        "anything": None,
    }
    validator = Draft7Validator({**document(), **payload})
    assert validator.is_valid(good)
    for name, bad in {"pet": {"type": "Cow"}, "both": [1, 2], "pair": [1, "a", 3]}.items():
        assert not validator.is_valid({**good, name: bad}), name


def test_a_queue_is_told_with_the_arguments_that_servers_declare_it_with() -> None:
    for spec in Shop.__leveret__.methods.values():
        queue = document()["channels"][spec.key]["x-leveret"]["queue"]
        assert queue["name"] == spec.queue_name
        assert queue["arguments"] == queue_arguments(spec)


def test_what_asyncapi_has_no_notion_of_is_an_extension() -> None:
    told = {
        key: it["x-leveret"] for key, it in document()["operations"].items() if "x-leveret" in it
    }
    assert told["shop.order"]["timeout"] == 3
    assert told["shop.order"]["idempotent"] is True
    assert told["shop.order"]["retry"]["attempts"] == 4
    assert told["shop.order"]["errors"] == ["OUT_OF_STOCK", "CLOSED"]
    assert told["shop.pets"]["retry"] is False
    assert [told[f"shop.{name}"].get("stream") for name in ("watch", "put", "turn", "buy")] == [
        "items",
        "upload",
        "both",
        None,
    ]
    assert told["shop.put"]["upload"] == {"name": "items", "operation": "shop.put.upload"}
    note = document()["operations"]["shop.note"]
    assert "reply" not in note
    assert note["bindings"]["amqp"]["deliveryMode"] == 2
    assert {"name": "one-way"} in note["tags"]


def test_where_services_are_served_is_told_without_who_logs_in() -> None:
    broker = parse_url("amqps://ann:secret@a.example,[::1]:5673/the%20shop")
    named = asyncapi([{**service_schema(Depot), "starts": True}], broker=broker)
    assert named["operations"]["depot.weigh"]["x-leveret"]["starts"] is True
    assert named["servers"]["node-1"] == {
        "host": "a.example:5671",
        "pathname": "/the%20shop",
        "protocol": "amqps",
        "protocolVersion": "0.9.1",
    }
    assert named["servers"]["node-2"]["host"] == "[::1]:5673"
    assert "secret" not in str(named)
    assert "servers" not in document()


def test_two_classes_of_one_name_are_two_schemas() -> None:
    schemas = document()["components"]["schemas"]
    assert "price" in schemas["Item"]["properties"]
    assert "weight" in schemas["Item_2"]["properties"]


def test_the_version_is_that_of_the_services_where_all_have_the_same() -> None:
    depot, other = service_schema(Depot) | {"version": "1.4.2"}, service_schema(Depot)
    other |= {"service": "other"}
    same, another = other | {"version": "1.4.2"}, other | {"version": "2.0.0"}
    assert asyncapi([depot])["info"]["version"] == "1.4.2"
    assert asyncapi([depot, same])["info"]["version"] == "1.4.2"
    for one in (another, other):
        assert asyncapi([depot, one])["info"]["version"] not in ("", "1.4.2", "2.0.0")


def test_title_and_version_are_those_that_are_given_or_of_the_contracts() -> None:
    assert document()["info"]["title"] == "shop, depot"
    given = asyncapi([service_schema(Depot)], title="All", version="1.2")
    assert (given["info"]["title"], given["info"]["version"]) == ("All", "1.2")
    one = asyncapi([service_schema(Depot)])["info"]["version"]
    assert one != document()["info"]["version"]
    assert one == asyncapi([service_schema(Depot)])["info"]["version"]
    assert asyncapi([])["channels"] == {}


@pytest.mark.parametrize(
    "description",
    [{}, {"service": "a", "methods": {"b": {}}}, {"service": "a", "methods": {"b": None}}],
)
def test_what_is_no_description_is_an_error(description: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        asyncapi([description])
