"""A broker's address: its hosts, and all that a connection to them needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from leveret.transport.credentials import Credentials
from leveret.transport.tls import TLS

__all__ = ["Address", "Dial"]

Dial = Callable[[asyncio.Protocol], Awaitable[None]]
"""Connects a protocol to the broker without TCP; calls its `connection_made`."""


class Address(Struct, frozen=True, kw_only=True):
    """Where a broker is, and how to connect to it. `str()` is a URL without the password."""

    hosts: tuple[tuple[str, int], ...]
    """Host and port of each node, in the order in which to try them. IPv6 has no brackets here."""
    username: str = "guest"
    """The user that logs in; at most 255 bytes."""
    password: str = "guest"  # noqa: S105 - everybody knows it
    """Never shown. Without a user in the URL it is "guest", with a user alone it is ""."""
    vhost: str = "/"
    """The virtual host; at most 255 bytes."""
    tls: TLS | None = None
    """None for an unencrypted connection."""
    heartbeat: int = 10
    """Seconds, to be negotiated with the broker; 0 turns heartbeats off. A peer that is silent for
    two of them counts as lost. RabbitMQ advises 5 to 20 s
    (https://www.rabbitmq.com/docs/heartbeats)."""
    connection_timeout: float = 10.0
    """Seconds until a connection must be open."""
    auth: Literal["plain", "external"] = "plain"
    """The SASL mechanism: PLAIN sends user and password, EXTERNAL relies on the certificate."""
    credentials: Credentials | None = None
    """Returns user and password instead, for each connection."""
    user_id: str | None = None
    """The broker's name for this user, "" if it has none; None for the name that logs in."""
    dial: Dial | None = None
    """Connects to the broker in place of a socket; None: a socket connects to host and port."""

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __str__(self) -> str:
        hosts = ",".join(f"{_shown_host(host)}:{port}" for host, port in self.hosts)
        vhost = "" if self.vhost == "/" else quote(self.vhost, safe="")
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in self._options())
        scheme = "amqp" if self.tls is None else "amqps"
        user = "" if self.credentials is not None else f"{quote(self.username, safe='')}@"
        url = f"{scheme}://{user}{hosts}/{vhost}"
        return f"{url}?{query}" if query else url

    def _options(self) -> list[tuple[str, str]]:
        """The query options that differ from their defaults, in RabbitMQ's spelling."""
        tls = self.tls or TLS()
        timeout = f"{self.connection_timeout * 1000:.0f}"
        options = [
            ("heartbeat", str(self.heartbeat), self.heartbeat != 10),
            ("connection_timeout", timeout, self.connection_timeout != 10.0),
            ("auth_mechanism", self.auth, self.auth != "plain"),
            ("cacertfile", tls.cafile or "", tls.cafile is not None),
            ("certfile", tls.certfile or "", tls.certfile is not None),
            ("keyfile", tls.keyfile or "", tls.keyfile is not None),
            ("verify", "verify_none", not tls.verify),
            ("server_name_indication", tls.server_name or "", tls.server_name is not None),
        ]
        return [(name, value) for name, value, differs in options if differs]


def _shown_host(host: str) -> str:
    return f"[{quote(host, safe=':')}]" if ":" in host else host
