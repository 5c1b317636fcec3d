"""What commands say that ask servers: who did not answer, and what was meant."""

from __future__ import annotations

import pytest

from leveret.cli.asking import check_method, nearest, split_target, unanswered
from leveret.errors import InvalidArgument, Unimplemented
from leveret.wire.stats import ServerIdentity


def test_who_did_not_answer_is_told_by_service() -> None:
    servers = [ServerIdentity(services=["shop", "till"]), ServerIdentity(services=["shop"])]
    assert unanswered({"till": 1, "shop": 3, "post": 2}, servers) == [
        "not complete: 0 of 2 servers of post answered",
        "not complete: 2 of 5 servers of shop answered",
        "not complete: 1 of 2 servers of till answered",
    ]
    assert unanswered({}, servers) == []


def test_an_unknown_name_is_answered_by_the_nearest_or_by_what_there_is() -> None:
    assert nearest("shp", ["shop", "till"]) == ". Did you mean 'shop'?"
    assert nearest("zzz", ["shop", "post"]) == "; there are post, shop"
    many = [f"service_{number:02}" for number in range(12)]
    assert nearest("zzz", many).endswith("service_09, ...")


def test_a_method_that_is_not_there_is_unimplemented() -> None:
    check_method("shop", "", [])
    check_method("shop", "order", ["shop.order"])
    with pytest.raises(Unimplemented, match="Did you mean 'order'"):
        check_method("shop", "odrer", ["shop.order"])
    with pytest.raises(InvalidArgument):
        check_method(None, "order", ["shop.order"])


def test_a_target_is_a_service_or_a_method() -> None:
    assert split_target(None) == (None, "")
    assert split_target("shop") == ("shop", "")
    assert split_target("shop.order") == ("shop", "order")
