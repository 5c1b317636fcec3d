"""The options of `connect` are checked when it is called, before anything is opened."""

from __future__ import annotations

from math import inf, nan
from typing import Any
from unittest.mock import Mock

import pytest

from leveret import ConnectionEvent, InvalidArgument, InvalidURL, Reconnect, connect
from leveret.rabbit.options import (
    MAX_IN_FLIGHT,
    MAX_MESSAGE_SIZE,
    ConnectionOptions,
    read_address,
)


def options(**changes: Any) -> ConnectionOptions:
    given: dict[str, Any] = {
        "name": "",
        "max_in_flight": MAX_IN_FLIGHT,
        "max_message_size": MAX_MESSAGE_SIZE,
        "reconnect": Reconnect(),
        "wait_for_broker": 0.0,
        "on_connection": None,
        "lazy": False,
    }
    return ConnectionOptions(**(given | changes))


@pytest.mark.parametrize("wrong", [0, -1, 2.5, inf, nan, True, "3", None, [], 10**400])
@pytest.mark.parametrize("limit", ["max_in_flight", "max_message_size"])
def test_a_limit_that_makes_no_sense_is_refused(limit: str, wrong: object) -> None:
    with pytest.raises(InvalidArgument, match=f"^{limit} must be a whole number from 1 to .*; got"):
        options(**{limit: wrong})


@pytest.mark.parametrize("seconds", [-1, nan, True, "5", None, 10**400])
def test_a_wait_that_is_no_number_of_seconds_is_refused(seconds: object) -> None:
    with pytest.raises(InvalidArgument, match="wait_for_broker must be a number of seconds"):
        options(wait_for_broker=seconds)


def test_an_async_listener_is_refused_since_nobody_would_await_it() -> None:
    async def listen(event: ConnectionEvent) -> None: ...

    with pytest.raises(InvalidArgument, match="on_connection must be a plain function"):
        options(on_connection=listen)


def test_lazy_is_a_yes_or_a_no_and_waits_for_no_broker() -> None:
    with pytest.raises(InvalidArgument, match="lazy must be True or False; got 'yes'"):
        options(lazy="yes")
    with pytest.raises(InvalidArgument, match="with lazy=True it does not wait"):
        options(lazy=True, wait_for_broker=5)


def test_a_name_that_amqp_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="^name is too long: .*255 bytes"):
        options(name="x" * 300)
    with pytest.raises(ValueError, match="^user_id is too long: .*255 bytes"):
        read_address("amqp://localhost/", None, "x" * 300)


@pytest.mark.parametrize("wrong", [0, 5, b"", b"shop", [], "\udcff"])
def test_a_name_that_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="^name must be text.*; got"):
        connect("embedded://", name=wrong)
    with pytest.raises(InvalidArgument, match="^user_id must be text.*; got"):
        connect("amqp://localhost/", user_id=wrong)


async def middleware(call: Any, call_next: Any) -> Any: ...


class Counts:
    async def __call__(self, call: Any, call_next: Any) -> Any: ...


async def takes_nothing() -> None: ...


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "got None"),
        (5, "got 5"),
        (middleware, "got <function middleware .*, which is no list: put it into one"),
        ([middleware, None], "got None in it"),
        ("ab", "got 'a' in it"),
        ([Counts], "got the class Counts in it, not an instance of it"),
        ([takes_nothing], r"got <function takes_nothing .* which takes \(\) -> "),
    ],
)
def test_what_is_no_middleware_is_refused(wrong: Any, message: str) -> None:
    says = r"^middleware must be a list of functions, each `async def \(call, call_next\)`; "
    with pytest.raises(InvalidArgument, match=says + message):
        connect("embedded://", middleware=wrong)


def test_middleware_may_be_whatever_two_arguments_can_be_given_to() -> None:
    connect("embedded://", middleware=[middleware, Counts(), Mock(), lambda call, then: then(call)])
    connect("embedded://", middleware=iter([middleware]))
    connect("embedded://", middleware=[max])  # type: ignore[list-item] # of C: nobody knows
    connect("embedded://", middleware=())


def test_what_stands_in_place_of_credentials_is_not_repeated() -> None:
    with pytest.raises(InvalidArgument, match="must be a function, or None") as refused:
        read_address("amqp://localhost/", "secret", None)  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


def test_an_address_has_the_user_that_the_broker_is_to_verify() -> None:
    assert read_address("amqp://ada:x@localhost/", None, "lovelace").user_id == "lovelace"


def test_an_embedded_broker_has_no_other_users() -> None:
    with pytest.raises(InvalidArgument, match="embedded:// is a broker in this process"):
        connect("embedded://", user_id="ada")


def test_a_bad_url_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidURL):
        connect("amqp://host:port/")
