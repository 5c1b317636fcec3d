"""The options of `connect` are checked when it is called, before anything is opened."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize("limit", ["max_in_flight", "max_message_size"])
def test_a_limit_of_nothing_is_refused(limit: str) -> None:
    with pytest.raises(InvalidArgument, match="must be at least 1"):
        options(**{limit: 0})


@pytest.mark.parametrize("seconds", [-1, float("nan"), True, "5"])
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
    with pytest.raises(ValueError, match="255"):
        options(name="x" * 300)


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
