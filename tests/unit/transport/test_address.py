"""An address as it is shown: a URL without the password."""

from __future__ import annotations

import pytest

from leveret.transport.url import parse_url


def test_an_address_shows_no_password() -> None:
    address = parse_url("amqp://me:secret@host/v?heartbeat=5")
    assert str(address) == "amqp://me@host:5672/v?heartbeat=5"
    assert "secret" not in repr(address)
    assert f"{address}" == str(address)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://host", "amqp://guest@host:5672/"),
        ("amqp://a:1,[::1]/%2F", "amqp://guest@a:1,[::1]:5672/"),
        ("amqp://m%40e:pw@host/a%2Fb", "amqp://m%40e@host:5672/a%2Fb"),
        (
            "amqps://host/?cafile=/a%26b&verify=false&connection_timeout=2500",
            "amqps://guest@host:5671/?connection_timeout=2500&cacertfile=/a%26b&verify=verify_none",
        ),
    ],
)
def test_an_address_is_shown_as_a_url(url: str, shown: str) -> None:
    assert str(parse_url(url)) == shown
