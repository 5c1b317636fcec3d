"""The SQL of `PostgresOnce`, for a table's name.

Keys are `bytea`: `text` takes no NUL. `clock_timestamp()` and not `now()`: a statement that waited
for another's lock must not reckon with the time when it began to wait.
"""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}(\.[a-z_][a-z0-9_]{0,40})?")


def ddl(table: str) -> str:
    """The statements that make a table."""
    name = _quoted(table)
    index = table.rpartition(".")[2]
    return f"""\
CREATE TABLE IF NOT EXISTS {name} (
    key bytea PRIMARY KEY,
    owner text NOT NULL,
    lease_until timestamptz NOT NULL,
    forget_at timestamptz NOT NULL,
    kind text,  -- NULL: claimed, and not recorded
    content_type text,
    body bytea,
    metadata text
);
CREATE INDEX IF NOT EXISTS "{index}_forget_at" ON {name} (forget_at);
"""


class Statements(Struct, frozen=True, kw_only=True):
    """All statements of `PostgresOnce`. The same owner may repeat each without changing more."""

    name: str
    """The table's name as SQL has it."""
    create: str
    """Make the table, where nobody else is making it in this moment."""
    begin: str
    """(key, owner, lease, keep, takeover): a row if it is claimed."""
    look: str
    """(key): a row with owner, remaining, kind, content_type, body, metadata."""
    finish: str
    """(key, owner, keep, kind, content_type, body, metadata): a row if it was this owner's."""
    release: str
    """(key, owner)."""
    purge: str
    """(rows)."""

    @classmethod
    def of(cls, table: str) -> Self:
        """The statements for a table.

        :raises ValueError: if `table` would need quotes.
        """
        name = _quoted(table)
        return cls(
            name=name,
            # Two that create at once collide in PostgreSQL's catalogue, IF NOT EXISTS or not.
            create=(
                f"BEGIN; SELECT pg_advisory_xact_lock(hashtext('{name}')); {ddl(table)} COMMIT;"
            ),
            begin=f"""
INSERT INTO {name} AS was (key, owner, lease_until, forget_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3),
        clock_timestamp() + make_interval(secs => $3) + make_interval(secs => $4))
ON CONFLICT (key) DO UPDATE
SET owner = excluded.owner, lease_until = excluded.lease_until, forget_at = excluded.forget_at,
    kind = NULL, content_type = NULL, body = NULL, metadata = NULL
WHERE was.forget_at <= clock_timestamp()
   OR was.kind IS NULL
      AND (was.owner = excluded.owner OR $5 AND was.lease_until <= clock_timestamp())
RETURNING true""",
            look=f"""
SELECT owner, kind, content_type, body, metadata,
       extract(epoch FROM lease_until - clock_timestamp())::float8 AS remaining
FROM {name}
WHERE key = $1 AND forget_at > clock_timestamp()""",
            finish=f"""
UPDATE {name}
SET kind = $4, content_type = $5, body = $6, metadata = $7,
    forget_at = clock_timestamp() + make_interval(secs => $3)
WHERE key = $1 AND owner = $2 AND forget_at > clock_timestamp()
RETURNING true""",
            release=f"DELETE FROM {name} WHERE key = $1 AND owner = $2 AND kind IS NULL",
            purge=f"""
DELETE FROM {name}
WHERE key IN (
    SELECT key FROM {name} WHERE forget_at <= now()
    ORDER BY forget_at LIMIT $1 FOR UPDATE SKIP LOCKED
)""",
        )


def _quoted(table: str) -> str:
    if not _NAME.fullmatch(table):
        raise ValueError(
            f"a table is named by lower-case letters, digits and underscores, perhaps after a"
            f" schema and a dot: {table!r}"
        )
    return ".".join(f'"{part}"' for part in table.split("."))
