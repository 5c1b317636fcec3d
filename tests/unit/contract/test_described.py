"""A service as its servers describe it has the specification that its class has."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest

from leveret import ContractError, DeclaredError, Meta, Service, method, service_schema
from leveret.contract import described_service, given_struct, spec_of


class SoldOut(DeclaredError):
    """There are none."""

    sku: str
    left: bytes = b"none"
    sizes: list[int] = []


NEW = ["new"]


class Item(msgspec.Struct):
    sku: str


class Shelf(Service):
    """Keeps things."""

    @method(timeout=3, idempotent=True, priority_levels=5, raises=[SoldOut])
    async def put(
        self, item: Item, count: Annotated[int, Meta(ge=1)] = 1, *, tags: list[str] = NEW
    ) -> Item:
        """Put some there."""
        return item

    @method(once=True, name="all_of_it")
    async def everything(self, limit: int = 10, *, shelf: str) -> list[Item]:
        return []

    @method(content_type="text/plain")
    async def note(self, text: str = "empty") -> str:
        return text


def test_what_matters_of_the_specification_is_the_same() -> None:
    ours, theirs = spec_of(Shelf), described_service(service_schema(Shelf))
    assert (theirs.name, theirs.doc, list(theirs.methods)) == (
        "shelf",
        "Keeps things.",
        ["put", "all_of_it", "note"],
    )
    for spec in ours.methods.values():
        found = theirs.methods[spec.name]
        for name in ("key", "queue_name", "timeout", "idempotent", "once", "content_type"):
            assert getattr(found, name) == getattr(spec, name)
        assert found.queue.max_priority == spec.queue.max_priority
        assert list(found.raises) == list(spec.raises)


def test_signatures_are_those_of_the_methods() -> None:
    methods = described_service(service_schema(Shelf)).methods
    shown = str(inspect.signature(methods["put"].parameters)).replace("typing.", "")
    assert shown == (
        "(item: shelf.Item, count: Annotated[int, msgspec.Meta(ge=1)] = 1,"
        " *, tags: list[str] = ...)"
    )
    assert str(inspect.signature(methods["all_of_it"].parameters)) == (
        "(limit: int = 10, *, shelf: str)"
    )
    assert str(inspect.signature(methods["note"].parameters)) == "(text: str = 'empty')"


def test_defaults_do_not_travel() -> None:
    put = described_service(service_schema(Shelf)).methods["put"]
    given = given_struct(put.parameters)({"sku": "a"})
    assert msgspec.json.encode(given) == b'{"item":{"sku":"a"}}'


def test_docstrings_tell_what_dicts_and_errors_there_are() -> None:
    put = described_service(service_schema(Shelf)).methods["put"]
    assert put.doc == (
        "Put some there.\n\n"
        "Dicts:\n    Item: {sku: str}\n\n"
        "Errors:\n    SoldOut(sku: str, left: bytes, sizes: list[int])"
    )


def test_errors_have_the_fields_and_the_words_of_their_class() -> None:
    put = described_service(service_schema(Shelf)).methods["put"]
    kind = put.raises["SOLD_OUT"]
    error = kind("carrot", sizes=[1])
    assert str(error) == str(SoldOut("carrot", sizes=[1]))
    assert (error.code, error.args) == ("SOLD_OUT", ("carrot", b"none", [1]))
    assert isinstance(error, DeclaredError)
    assert kind.__name__ == "SoldOut"


def test_the_same_description_gives_the_same_classes() -> None:
    assert described_service(service_schema(Shelf)) is described_service(service_schema(Shelf))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    description = copy.deepcopy(service_schema(Shelf))
    change(description["methods"]["put"])
    return description


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda put: put.pop("arguments"), "arguments"),
        (lambda put: put.update(arguments=7), ""),
        (lambda put: put.update(errors=[]), ""),
        (lambda put: put["arguments"]["properties"].update({"a-b": {}}), "'a-b'"),
        (lambda put: put["arguments"]["properties"].update({"class": {}}), "'class'"),
        (lambda put: put.update(keyword_only=7), ""),
    ],
)
def test_a_method_that_cannot_be_read_is_left_out_and_told(
    change: Callable[[dict[str, Any]], object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = described_service(changed(change))
    assert list(found.methods) == ["all_of_it", "note"]
    (line,) = caplog.messages
    assert "shelf.put is left out" in line
    assert why in line


@pytest.mark.parametrize("name", ["__class__", "with_options", "_made", "a.b", "class"])
def test_no_method_takes_a_name_that_is_not_its_own(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    description = service_schema(Shelf)
    description["methods"][name] = description["methods"]["put"]
    assert name not in described_service(description).methods
    assert "Python cannot have a method of this name" in caplog.text


def test_odd_values_are_not_believed() -> None:
    def spoil(put: dict[str, Any]) -> None:
        put.update(timeout=-1, idempotent="yes", once=1, priority_levels=True, doc=7)

    put = described_service(changed(spoil)).methods["put"]
    assert (put.timeout, put.idempotent, put.once, put.queue.max_priority) == (10, False, False, 0)
    assert put.doc.startswith("Dicts:")


def test_an_error_that_can_have_no_class_is_left_to_remote_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "leveret.client")

    def spoil(put: dict[str, Any]) -> None:
        put["errors"] = {
            "INTERNAL": {},
            "ODD": {"properties": {"message": {}}},
            "NOT_NOW": {"properties": {"until": {"type": "string", "format": "date"}}},
        }

    raises = described_service(changed(spoil)).methods["put"].raises
    assert {code: error.__name__ for code, error in raises.items()} == {"NOT_NOW": "NotNow"}
    assert raises["NOT_NOW"]().args == (None,)
    assert caplog.text.count("has no class") == 2


@pytest.mark.parametrize("description", [{}, {"service": "x", "methods": 7}, {"methods": {}}])
def test_what_describes_no_service_is_refused(description: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        described_service(description)


def test_a_service_without_a_method_is_refused() -> None:
    with pytest.raises(ContractError, match="no method that can be called"):
        described_service({"service": "x", "methods": {}})
