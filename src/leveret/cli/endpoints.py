"""Where a command listens: `HOST:PORT`, or `:PORT` for this machine alone."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from leveret.cli.arguments import BadArgument

__all__ = ["Endpoint", "endpoint_of"]

_OWN: Final = "127.0.0.1"
"""The host where none is given: what is told there is nobody else's business."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A place to listen at."""

    host: str
    """A name or an address."""
    port: int
    """A number of a port; 0 for a free one."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def endpoint_of(text: str) -> Endpoint:
    """Read a word of the form `[HOST]:PORT`.

    :raises BadArgument: if it has another form.
    """
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise BadArgument(
            f"{text!r} is not HOST:PORT, as in 0.0.0.0:9100, [::]:9100, or :9100 for this"
            " machine alone"
        )
    return Endpoint(host=host or _OWN, port=int(port))
