"""What a connection says of itself, and to whoever opens it in a wrong way."""

from __future__ import annotations

from typing import Any

import pytest

import leveret
from leveret import InvalidURL


async def test_it_shows_its_name_its_state_and_where_it_is() -> None:
    rabbit = leveret.connect("embedded://", name="shop")
    assert repr(rabbit) == "<rabbit 'shop', closed, embedded://>"
    async with rabbit:
        assert repr(rabbit) == "<rabbit 'shop', connected, embedded://>"
    assert repr(rabbit) == "<rabbit 'shop', closed, embedded://>"


def test_it_never_shows_its_password() -> None:
    rabbit = leveret.connect("amqp://ada:secret@one,two:1234/shop")
    assert repr(rabbit) == "<rabbit, closed, amqp://ada@one:5672,two:1234/shop>"


def test_a_plain_with_says_what_to_write() -> None:
    rabbit: Any = leveret.connect("embedded://")
    with pytest.raises(TypeError, match="a Rabbit is entered with `async with`"), rabbit:
        pass


def test_a_port_in_place_of_the_url_is_told_how_to_be_one() -> None:
    given: Any = 5672
    with pytest.raises(InvalidURL, match=r"a str, not int; .* write amqp://localhost:5672/"):
        leveret.connect(given)


def test_bytes_in_place_of_the_url_are_refused_and_not_shown() -> None:
    given: Any = b"amqp://ada:secret@localhost/"
    with pytest.raises(InvalidURL, match="it must be a str, not bytes") as refused:
        leveret.connect(given)
    assert "secret" not in str(refused.value)
