"""npm's @asyncapi/parser takes our documents. Two rules that it does not check are unit tests."""

from __future__ import annotations

import msgspec
import pytest

from leveret import service_schema
from leveret.asyncapi import asyncapi
from leveret.transport.url import parse_url
from tests.asyncapi_parser import diagnostics
from tests.unit.asyncapi.services import Depot, Shop


@pytest.mark.slow
def test_the_parser_takes_the_documents_and_refuses_what_is_none() -> None:
    broker = parse_url("amqp://ann:secret@a,b/shop")
    whole = asyncapi([service_schema(Shop), service_schema(Depot)], broker=broker)
    broken = asyncapi([service_schema(Depot)])
    broken["operations"]["depot.weigh"]["channel"] = {"$ref": "#/channels/gone"}
    taken, refused = diagnostics(msgspec.json.encode(it).decode() for it in (whole, broken))
    assert taken == []
    assert any("invalid-ref" in said for said in refused)
