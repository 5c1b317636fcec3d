"""Where the console listens."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from leveret.console.serving import CannotListen, is_loopback, serve
from leveret.errors import InvalidURL


def test_only_this_machine_reaches_a_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "::", "example.org"))


def test_a_port_that_is_taken_is_an_error_before_anything_is_asked() -> None:
    options: dict[str, Any] = {"allow_calls": False, "show_arguments": False, "root_path": ""}
    options |= {"token": "", "user_header": "", "on_listening": lambda _: None}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}"):
            serve(None, host="127.0.0.1", port=port, **options)


def test_a_url_that_is_none_is_an_error_before_anything_listens() -> None:
    said: list[str] = []
    options: dict[str, Any] = {"allow_calls": False, "show_arguments": False, "root_path": ""}
    options |= {"token": "", "user_header": "", "on_listening": said.append}
    with pytest.raises(InvalidURL):
        serve("notaurl://x", host="127.0.0.1", port=0, **options)
    assert not said
