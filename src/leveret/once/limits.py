"""The bounds of keys, owners, times and records; they are the same for all stores."""

from __future__ import annotations

import json
from typing import Final

from leveret.once.store import LARGE, Recorded

MAX_KEY: Final = 511
"""Bytes of a key: two short strings of AMQP (255 each) and something between them."""

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of a body that is recorded, unless a store is told otherwise: Leveret's largest message."""

MAX_SECONDS: Final = 10 * 366 * 86_400.0
"""Ten years. Far more, and neither Redis nor PostgreSQL can reckon with it."""

_MAX_NAME: Final = 255


def key_bytes(key: str) -> bytes:
    """A key as bytes: one text, one sequence of bytes, whatever surrogates and NULs are in it.

    :raises ValueError: it is empty or too long.
    """
    encoded = key.encode("utf-8", "surrogatepass")
    if not 0 < len(encoded) <= MAX_KEY:
        raise ValueError(f"a key takes 1 to {MAX_KEY} bytes in UTF-8; this takes {len(encoded)}")
    return encoded


def check_owner(owner: str) -> None:
    """:raises ValueError: if the owner is not 1 to 255 printable ASCII letters."""
    _check_name("owner", owner)


def check_seconds(**times: float) -> None:
    """:raises ValueError: if it is not a length of time in seconds."""
    for name, seconds in times.items():
        if not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"{name} is a number of seconds above 0, up to 10 years: {seconds!r}")


def fitted(recorded: Recorded, max_body: int) -> Recorded:
    """The record; if it is too large, a record that only says so.

    :raises ValueError: if its kind or content type is not a name.
    """
    _check_name("kind", recorded.kind)
    if recorded.content_type:
        _check_name("content_type", recorded.content_type)
    size = size_of(recorded)
    if size <= max_body:
        return recorded
    return Recorded(kind=LARGE, content_type="text/plain", body=b"%d" % size)


def size_of(recorded: Recorded) -> int:
    """Roughly how many bytes a record's body and metadata take."""
    size = len(recorded.body)
    if recorded.metadata:
        size += sum(len(name) + len(value) for name, value in recorded.metadata.items())
    return size


def pack_metadata(metadata: dict[str, str] | None) -> str:
    """Metadata as plain ASCII, whatever surrogates and NULs are in it; "" for none."""
    return "" if metadata is None else json.dumps(metadata)


def unpack_metadata(packed: str | bytes) -> dict[str, str] | None:
    """What `pack_metadata` packed."""
    if not packed:
        return None
    metadata: dict[str, str] = json.loads(packed)
    return metadata


def _check_name(what: str, name: str) -> None:
    if not (0 < len(name) <= _MAX_NAME and name.isascii() and name.isprintable()):
        raise ValueError(f"{what} is 1 to {_MAX_NAME} printable ASCII letters: {name[:300]!r}")
