"""Effect-once: stores that answer a repeated request from the reply it was given first.

    MemoryOnce      in this process, bounded; servers do not see each other's
    SqliteOnce      in a SQLite file, seen by all servers on one machine
    RedisOnce       in Redis, seen by all servers; needs `pip install 'leveret[redis]'`
    PostgresOnce    in PostgreSQL, seen by all servers; needs `pip install 'leveret[postgres]'`

Any other object that keeps the protocol `OnceStore` will do as well. Importing this package imports
neither Redis's nor PostgreSQL's client.
"""

from leveret.once.by_url import store_of
from leveret.once.limits import MAX_BODY, MAX_KEY
from leveret.once.memory import MemoryOnce
from leveret.once.postgres import PostgresOnce
from leveret.once.redis import RedisOnce
from leveret.once.sqlite import SqliteOnce
from leveret.once.store import (
    LARGE,
    UNANSWERED,
    Abandoned,
    Begun,
    LastingStore,
    OnceStore,
    OnceUnavailable,
    Outcome,
    Recorded,
    Taken,
)

__all__ = [
    "LARGE",
    "MAX_BODY",
    "MAX_KEY",
    "UNANSWERED",
    "Abandoned",
    "Begun",
    "LastingStore",
    "MemoryOnce",
    "OnceStore",
    "OnceUnavailable",
    "Outcome",
    "PostgresOnce",
    "Recorded",
    "RedisOnce",
    "SqliteOnce",
    "Taken",
    "store_of",
]
