"""A store by its URL, for the command line and for configuration files."""

from __future__ import annotations

from urllib.parse import unquote

from leveret.errors import InvalidURL
from leveret.once.memory import MemoryOnce
from leveret.once.postgres import PostgresOnce
from leveret.once.redis import RedisOnce
from leveret.once.sqlite import SqliteOnce
from leveret.once.store import OnceStore

__all__ = ["store_of"]


def store_of(url: str) -> OnceStore:
    """The store at a `redis://`, `rediss://`, `unix://`, `postgres://` or `postgresql://` URL.

    `sqlite:///relative/path` and `sqlite:////absolute/path` name a file; "memory" is
    `MemoryOnce()`.

    :raises InvalidURL: for any other; the message shows nothing but the scheme.
    """
    scheme = url.partition("://")[0].lower()
    if url == "memory":
        return MemoryOnce()
    if scheme in {"redis", "rediss", "unix"}:
        return RedisOnce(url)
    if scheme in {"postgres", "postgresql"}:
        return PostgresOnce(url)
    if scheme == "sqlite":
        path = unquote(url[len("sqlite:///") :])
        if not url.lower().startswith("sqlite:///") or path in {"", ":memory:"}:
            raise InvalidURL("a SQLite file is sqlite:///relative/path or sqlite:////absolute/path")
        return SqliteOnce(path)
    raise InvalidURL(
        "a store of idempotency keys is sqlite:///path, redis://..., rediss://..., unix://...,"
        ' postgresql://... or "memory"'
    )
