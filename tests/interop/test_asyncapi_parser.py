"""npm's @asyncapi/parser takes our documents. Two rules that it does not check are unit tests."""

from __future__ import annotations

import msgspec
import pytest

from leveret import Service, service_schema
from leveret.asyncapi import asyncapi
from tests.asyncapi_parser import diagnostics
from tests.behaviour.cli_service import Desk
from tests.unit.asyncapi.services import Depot, Shop


def text(*services: type[Service]) -> str:
    return msgspec.json.encode(asyncapi(map(service_schema, services))).decode()


@pytest.mark.slow
def test_the_parser_takes_the_documents_and_refuses_what_is_none() -> None:
    broken = msgspec.json.decode(text(Desk))
    broken["operations"]["desk.fib"]["channel"] = {"$ref": "#/channels/gone"}
    documents = [text(Shop, Depot), text(Desk), msgspec.json.encode(broken).decode(), "{}"]
    shop, desk, refused, empty = diagnostics(documents)
    assert (shop, desk) == ([], [])
    assert any("invalid-ref" in said for said in refused)
    assert empty
