"""Each message of a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from leveret import service_schema
from leveret.asyncapi.messages import declared_error, end, generic_error, item, request, result
from leveret.errors import Code
from tests.unit.asyncapi.services import Shop

METHODS = service_schema(Shop)["methods"]


def place(schema: Mapping[str, Any]) -> Any:
    return schema.get("title") or schema.get("type")


def kind(message: Mapping[str, Any]) -> str:
    return str(message["bindings"]["amqp"]["messageType"])


def test_a_request_has_its_arguments_and_its_headers() -> None:
    found = request("shop.order", METHODS["order"], place)
    assert (found["name"], found["payload"], kind(found)) == ("shop.order.request", "order", "call")
    assert found["correlationId"] == {"location": "$message.header#/correlation_id"}
    assert found["headers"]["required"] == ["CC", "deadline"]


@pytest.mark.parametrize(
    ("name", "needed", "also"),
    [
        ("note", [], "deadline"),
        ("watch", ["CC", "deadline", "credit", "credit-bytes"], "cursor"),
        ("put", ["CC", "deadline", "uploads"], "progress"),
        ("turn", ["CC", "deadline", "credit", "credit-bytes", "uploads"], "resent"),
    ],
)
def test_headers_are_those_of_the_kind_of_call(name: str, needed: list[str], also: str) -> None:
    headers = request(f"shop.{name}", METHODS[name], place)["headers"]
    assert headers["required"] == needed
    assert {*needed, also} <= headers["properties"].keys()


def test_one_argument_may_be_the_whole_body() -> None:
    text = request("shop.shout", METHODS["shout"], place)
    assert (text["contentType"], text["payload"]) == ("text/plain", "string")
    raw = result("shop.pack", METHODS["pack"], place)
    assert raw["payload"] == {"type": "string", "format": "binary"}
    nothing = request("a.b", {"content_type": "text/plain", "arguments": {}}, dict)
    assert nothing["payload"] == {"$defs": {}}


def test_a_stream_is_items_and_an_end() -> None:
    one = item("shop.watch.item", METHODS["watch"]["result"], "application/json", place)
    last = end("shop.watch.end")
    assert (kind(one), kind(last)) == ("item", "end")
    assert one["headers"]["required"] == last["headers"]["required"] == ["n"]
    assert "payload" not in last
    assert "contentType" not in last


def test_errors_are_told_apart_by_their_codes() -> None:
    errors = METHODS["order"]["errors"]
    gone = declared_error("shop.order", "OUT_OF_STOCK", errors["OUT_OF_STOCK"], place)
    assert gone["payload"]["properties"]["code"] == {"const": "OUT_OF_STOCK"}
    assert gone["payload"]["required"] == ["code", "message", "data"]
    assert gone["description"] == "There are not enough."
    # The fields of an error that needs none do not travel where they are the defaults.
    closed = declared_error("shop.order", "CLOSED", errors["CLOSED"], place)
    assert closed["payload"]["required"] == ["code", "message"]
    any_other = generic_error()
    assert any_other["payload"]["properties"]["code"]["enum"] == list(map(str, Code))
    assert {kind(it) for it in (gone, closed, any_other)} == {"error"}
    nameless = declared_error("a.b", "C", {}, place)
    assert nameless["title"] == "C"
    assert "description" not in nameless
