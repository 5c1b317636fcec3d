"""A service or a method as text for a terminal."""

from __future__ import annotations

from leveret import service_schema
from leveret.documents import Server, read_page
from leveret.documents.text import method_text, service_text
from tests.unit.asyncapi.services import Depot, Shop

PAGE = read_page(service_schema(Shop))


def method(name: str) -> list[str]:
    return list(method_text(PAGE, next(it for it in PAGE.methods if it.name == name)))


def test_a_service_is_told_in_short() -> None:
    servers = [Server(instance="b47af560", name="host:1"), Server(instance="0", name="")]
    assert list(service_text(read_page(service_schema(Depot), servers))) == [
        "depot",
        "",
        "  async def weigh(self, item: Item) -> float",
        "",
        "2 servers answered",
        "  b47af560  host:1",
        "  0",
    ]
    assert "      Order an item." in list(service_text(PAGE))


def test_a_method_is_told_with_all_that_it_has() -> None:
    lines = method("order")
    assert lines[:3] == ["shop.order", "  async def order(", "      self,"]
    for told in (
        "  item   Item",
        "  count  int = 1             at least 1, below 100",
        "raises OutOfStock (OUT_OF_STOCK)",
        "  There are not enough.",
        "type Color",
        "  one of 'blue', 'red'",
        "  sku     str                 1 to 20 characters  Its name in stock",
        "  timeout       3 s",
    ):
        assert told in lines, told
    assert "items" in method("watch")
    assert "type Cat" not in method("watch")
    assert "parameters" not in list(method_text(PAGE, read_page(_without_parameters()).methods[0]))


def _without_parameters() -> dict[str, object]:
    described = service_schema(Depot)
    described["methods"]["weigh"]["arguments"] = {"properties": {}}
    return described


def test_one_server_is_one() -> None:
    page = read_page(service_schema(Depot), [Server(instance="1", name="a")])
    assert "1 server answered" in list(service_text(page))
