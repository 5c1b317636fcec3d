"""Where a command listens."""

from __future__ import annotations

import pytest
import typer

from leveret.cli.arguments import BadArgument
from leveret.cli.endpoints import Endpoint, endpoint_of
from leveret.cli.options import read_endpoint


@pytest.mark.parametrize(
    ("given", "host", "port", "shown"),
    [
        (":9100", "127.0.0.1", 9100, "127.0.0.1:9100"),
        ("0.0.0.0:9100", "0.0.0.0", 9100, "0.0.0.0:9100"),
        ("shop.internal:0", "shop.internal", 0, "shop.internal:0"),
        ("[::]:9100", "::", 9100, "[::]:9100"),
    ],
)
def test_it_is_this_machine_alone_where_no_host_is_given(
    given: str, host: str, port: int, shown: str
) -> None:
    found = endpoint_of(given)
    assert found == Endpoint(host=host, port=port)
    assert str(found) == shown


@pytest.mark.parametrize(
    "given", ["", "9100", "host", "host:", "::1:9100", ":65536", ":-1", ":1e3"]
)
def test_another_form_is_refused_with_the_right_one(given: str) -> None:
    with pytest.raises(BadArgument, match=r"is not HOST:PORT, as in"):
        endpoint_of(given)


def test_it_is_the_value_of_an_option() -> None:
    assert read_endpoint(None, "--metrics") is None
    assert read_endpoint(":1", "--metrics") == Endpoint(host="127.0.0.1", port=1)
    with pytest.raises(typer.BadParameter, match=r"--metrics: '1' is not HOST:PORT"):
        read_endpoint("1", "--metrics")
