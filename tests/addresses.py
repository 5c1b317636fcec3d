"""Names with several addresses, and addresses that swallow what is sent to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

Place = tuple[str, int]
"""IP address and port."""


@contextmanager
def swallows_syns(host: str = "127.0.0.2") -> Iterator[Place]:
    """An address that answers no SYN, as one that leads nowhere does.

    Linux drops what asks for a connection where a backlog is full.
    """
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        place = listener.getsockname()
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(place)
        yield place


def resolve_to(monkeypatch: pytest.MonkeyPatch, **names: list[Place]) -> None:
    """Have the running loop find these addresses for these names, and look up the others.

    uvloop asks for the address of an address before it connects a socket to it.
    """
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> object:
        if host not in names:
            return await look_up(host, port, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)
            for place in names[host]
        ]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
