"""A broker's address, and the URL that reaches it through a proxy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote

from leveret.errors import InvalidURL

__all__ = ["BrokerAddress"]

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_URL: Final = re.compile(
    r"(?P<scheme>amqps?)://(?P<user>[^@/?#]*@)?(?P<hosts>[^@/?#]+)(?P<path>/[^?#@]*|)(?P<query>\?[^#]*|)",
    re.IGNORECASE | re.DOTALL,
)
_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")
_SERVER_NAME: Final = re.compile(r"[?&](?:server_name|server_name_indication)=")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where the broker is, and the parts of its URL that a proxy keeps.

    :param target: host and port.
    :param scheme: "amqp" or "amqps".
    :param user: user and password as the URL has them, with the "@"; not in the repr.
    :param rest: path and query.
    """

    target: tuple[str, int]
    scheme: str
    user: str = field(repr=False)
    rest: str

    @classmethod
    def of(cls, broker: str | tuple[str, int]) -> Self:
        """Read a URL, or (host, port).

        :raises InvalidURL: if it cannot be read; the message holds no password.
        """
        if not isinstance(broker, str):
            return cls(target=broker, scheme="amqp", user="", rest="/")
        url = _URL.fullmatch(broker.strip())
        host = _HOST.fullmatch(url["hosts"].split(",")[0]) if url else None
        if url is None or host is None:
            raise InvalidURL(
                "FaultProxy needs the URL of a broker on a network, as in amqp://user:password@"
                "host:5672/vhost, or (host, port); for one in memory, enter leveret.testing.Broker"
                " and take its url"
            )
        scheme = url["scheme"].lower()
        name = host["v6"] or host["name"]
        rest = url["path"] + url["query"]
        if scheme == "amqps" and not _SERVER_NAME.search(rest):
            rest += f"{'&' if url['query'] else '?'}server_name_indication={quote(name)}"
        target = (name, int(host["port"] or _PORTS[scheme]))
        return cls(target=target, scheme=scheme, user=url["user"] or "", rest=rest)

    def by_way_of(self, host: str, port: int) -> str:
        """The URL by which a client reaches the broker through this host and port."""
        shown = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{self.user}{shown}:{port}{self.rest}"
