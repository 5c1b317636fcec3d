"""Reads what browsers send, up to a bound."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from leveret.errors import InvalidArgument

__all__ = ["read_body"]

_MOST_BODY: Final = 64_000_000
"""Bytes of the largest request of a browser."""


async def read_body(request: Request, most: int = _MOST_BODY) -> bytes:
    """The body of a request.

    :param most: bytes.
    :raises InvalidArgument: if it has more.
    """
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > most:
            raise InvalidArgument(f"the request has more than {most:,} bytes")
    return bytes(found)
