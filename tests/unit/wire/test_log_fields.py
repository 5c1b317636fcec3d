"""How logs name a call."""

from __future__ import annotations

from dataclasses import dataclass

from leveret.wire.log_fields import (
    fields_of,
    fields_of_method,
    printable,
    shown,
    shown_all,
)


@dataclass(frozen=True)
class Named:
    id: str
    method: str = "town.shop.order"


def test_a_call_is_named_by_its_method_and_its_id_if_it_has_one() -> None:
    assert shown(Named("a1")) == "town.shop.order (call a1)"
    assert shown(Named("")) == "town.shop.order"


def test_of_many_calls_the_first_ones_are_named() -> None:
    assert (
        shown_all([Named("1"), Named("2")]) == "town.shop.order (call 1), town.shop.order (call 2)"
    )
    assert shown_all([Named(str(n)) for n in range(7)]).endswith("(call 4) and 2 more")


def test_an_id_cannot_make_up_a_line() -> None:
    assert shown(Named("a\nb")) == r"town.shop.order (call 'a\nb')"
    assert printable("a b") == "a b"


def test_a_record_has_the_service_as_well() -> None:
    fields = fields_of(Named("a1"))
    assert fields == {"call_id": "a1", "method": "town.shop.order", "service": "town.shop"}
    assert fields_of_method("town.shop.order") == {
        "method": "town.shop.order",
        "service": "town.shop",
    }
