"""How logs name a call."""

from __future__ import annotations

from dataclasses import dataclass

from leveret.wire.log_fields import fields_of, printable, shown


@dataclass(frozen=True)
class Named:
    id: str
    method: str = "town.shop.order"


def test_a_call_is_named_by_its_method_and_its_id_if_it_has_one() -> None:
    assert shown(Named("a1")) == "town.shop.order (call a1)"
    assert shown(Named("")) == "town.shop.order"


def test_an_id_cannot_make_up_a_line() -> None:
    assert shown(Named("a\nb")) == r"town.shop.order (call 'a\nb')"
    assert printable("a b") == "a b"


def test_a_record_has_the_service_as_well() -> None:
    fields = fields_of(Named("a1"))
    assert fields == {"call_id": "a1", "method": "town.shop.order", "service": "town.shop"}
