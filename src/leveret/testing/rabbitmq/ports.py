"""TCP ports of 127.0.0.1 for brokers that a test starts."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

__all__ = ["free_ports"]


def free_ports(count: int) -> list[int]:
    """Find ports of 127.0.0.1 that nobody listens on.

    They lie below the range that kernels give to outgoing connections (32768 and up on Linux). A
    connection from that range could take the port of a broker that is stopped for a moment.
    """
    return [port for _, port in zip(range(count), _free_ports(), strict=False)]


def _free_ports() -> Iterator[int]:
    for port in random.sample(range(20_000, 32_000), 12_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
