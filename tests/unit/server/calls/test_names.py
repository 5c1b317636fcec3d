"""The names of calls at a server."""

from __future__ import annotations

from leveret.server.calls.names import name_of, name_of_one_way
from leveret.wire.message import ReplyAddress


def test_a_call_without_a_reply_address_or_an_id_has_no_name() -> None:
    assert name_of((None, "1")) == name_of((ReplyAddress(exchange="", key="q"), "")) == ""


def test_calls_that_differ_in_anything_have_different_names() -> None:
    plain = ReplyAddress(exchange="", key="q")
    names = {
        name_of((plain, "1")),
        name_of((plain, "2")),
        name_of((plain, "1"), stage=1),
        name_of((ReplyAddress(exchange="e", key="q"), "1")),
        name_of((ReplyAddress(exchange="", key="r"), "1")),
    }
    assert len(names) == 5


def test_a_one_way_request_is_known_by_its_id_its_user_and_its_body() -> None:
    names = {
        name_of_one_way("1", "ann", b"{}"),
        name_of_one_way("2", "ann", b"{}"),
        name_of_one_way("1", "bob", b"{}"),
        name_of_one_way("1", "ann", b"[]"),
        name_of_one_way("1", "ann", None),
    }
    assert len(names) == 5
    assert name_of_one_way("1", "ann", b"{}") in names
    assert name_of_one_way("", "ann", b"{}") == ""
