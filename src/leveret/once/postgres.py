"""Replies in PostgreSQL, seen by all servers that use the same database.

One row for each key, claimed by `INSERT ... ON CONFLICT`
(https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT), by PostgreSQL's clock:
the servers' clocks need not agree. What is committed survives a crash of PostgreSQL, unless
`synchronous_commit` or `fsync` is off. Rows whose time is over count as gone, and are deleted now
and then.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from leveret.errors import InvalidURL
from leveret.once.limits import (
    MAX_BODY,
    check_owner,
    check_seconds,
    fitted,
    key_bytes,
    pack_metadata,
    unpack_metadata,
)
from leveret.once.polling import Found, poll
from leveret.once.postgres_statements import Statements, ddl
from leveret.once.store import Abandoned, Begun, OnceUnavailable, Outcome, Recorded, Taken

if TYPE_CHECKING:
    from asyncpg import Pool, Record

__all__ = ["PostgresOnce"]

log = logging.getLogger("leveret.once")

_TRIES: Final = 3
"""How often a statement is sent: connections break, and strict isolation makes some collide."""
_ROUNDS: Final = 10
"""How often a key may come and go between two looks at it."""

_PURGE_EVERY: Final = 500
"""Claims after which rows are deleted whose time is over."""
_PURGE_SECONDS: Final = 60.0
"""Seconds after which they are, where there are few claims."""
_PURGE_ROWS: Final = 1_000
"""How many at once: twice as many as may come meanwhile."""


class PostgresOnce:
    """A `OnceStore` in PostgreSQL, 9.5 or later.

    :param postgres: `postgresql://user:password@host:5432/database`, or a pool of asyncpg's, which
        stays open. A pool behind PgBouncer in transaction mode needs `statement_cache_size=0`.
    :param table: its name, in lower case, perhaps with a schema: `rpc.leveret_once`.
    :param create_table: whether the table is created where it is missing, as `ddl()` says.
    :param timeout: seconds after which an operation is given up.
    :param max_body: bytes of a body above which only its size is recorded.
    :param connections: how many at most, with a URL; what needs one more waits for it.
    :raises ImportError: asyncpg is not installed.
    :raises ValueError: if `table` would need quotes.
    """

    def __init__(
        self,
        postgres: str | Pool[Record],
        *,
        table: str = "leveret_once",
        create_table: bool = True,
        timeout: float = 5.0,
        max_body: int = MAX_BODY,
        connections: int = 8,
    ) -> None:
        try:
            import asyncpg  # noqa: PLC0415 - needs the extra
        except ModuleNotFoundError as error:
            raise ImportError(
                "PostgresOnce needs asyncpg: pip install 'leveret[postgres]'"
            ) from error
        self._failures = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
        self._passing = (
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,  # it shuts down, or starts up
            asyncpg.TransactionRollbackError,  # two at once, where isolation is strict
            asyncpg.InterfaceError,
            ConnectionError,
        )
        self._dsn = postgres if isinstance(postgres, str) else ""
        self._pool = None if isinstance(postgres, str) else postgres
        self._ready = False
        self._opening = asyncio.Lock()
        self._closed = False
        self._table = table
        self._sql = Statements.of(table)
        self._create_table = create_table
        self._timeout = timeout
        self._max_body = max_body
        self._connections = connections
        self._claims_since_purge = 0
        self._next_purge = 0.0
        self._purge: asyncio.Task[None] | None = None

    @staticmethod
    def ddl(table: str = "leveret_once") -> str:
        """The statements that make the table, for those who create tables by other means.

        Besides these the store needs SELECT, INSERT, UPDATE and DELETE on it.
        """
        return ddl(table)

    @property
    def shared(self) -> bool:
        """Yes: servers with the same database see the same keys."""
        return True

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        """Claim a key, or say what is known of it; see `OnceStore.begin`."""
        name = key_bytes(key)
        check_owner(owner)
        check_seconds(lease=lease, keep=keep)
        self._purge_sometimes()
        for _ in range(_ROUNDS):
            claim = (name, owner, float(lease), float(keep), takeover)
            if await self._row(self._sql.begin, *claim) is not None:
                return Begun()
            if (found := await self._look(name)) is not None:
                return found
        raise OnceUnavailable.because("PostgreSQL", "the key comes and goes too often to claim it")

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        """Record the reply of a request that ran; see `OnceStore.finish`."""
        name = key_bytes(key)
        check_owner(owner)
        check_seconds(keep=keep)
        record = fitted(recorded, self._max_body)
        what = (record.kind, record.content_type, record.body, pack_metadata(record.metadata))
        return await self._row(self._sql.finish, name, owner, float(keep), *what) is not None

    async def release(self, key: str, *, owner: str) -> None:
        """Forget this owner's claim; see `OnceStore.release`."""
        name = key_bytes(key)
        check_owner(owner)
        await self._row(self._sql.release, name, owner)

    async def wait(self, key: str, timeout: float) -> Recorded | None:
        """Wait for the record of a request that another runs; see `OnceStore.wait`."""
        return await poll(partial(self._look, key_bytes(key)), timeout)

    async def look(self, key: str) -> Found:
        """What is known of a key; see `LastingStore.look`."""
        return await self._look(key_bytes(key))

    async def close(self) -> None:
        """Close the connections, if they are not those of a pool that was given."""
        self._closed = True
        if self._purge is not None:
            self._purge.cancel()
            await asyncio.wait([self._purge])
        if self._dsn and self._pool is not None:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._pool.close()
            except (*self._failures, TimeoutError) as error:
                log.warning("not all connections to PostgreSQL were closed in order: %s", error)

    async def __aenter__(self) -> Self:
        try:
            await self._row(self._sql.look, b"")
        except BaseException:
            await self.close()  # nobody leaves what could not be entered
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- PostgreSQL ---------------------------------------------------------------------------

    async def _look(self, name: bytes) -> Found:
        row = await self._row(self._sql.look, name)
        if row is None:
            return None
        if row["kind"] is not None:
            return Recorded(
                kind=row["kind"],
                content_type=row["content_type"],
                body=row["body"],
                metadata=unpack_metadata(row["metadata"]),
                owner=row["owner"],
            )
        if row["remaining"] > 0:
            return Taken(owner=row["owner"], remaining=row["remaining"])
        return Abandoned(owner=row["owner"])

    async def _row(self, statement: str, *args: object) -> Record | None:
        """Run a statement, again if it fails, as each of them may be; returns its row."""
        if self._closed:
            raise OnceUnavailable("this PostgresOnce is closed")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._tried(statement, args)
        except TimeoutError as error:
            raise OnceUnavailable.because(
                "PostgreSQL", f"no answer within {self._timeout:g} s"
            ) from error
        except self._failures as error:
            raise OnceUnavailable.because("PostgreSQL", str(error)) from error

    async def _tried(self, statement: str, args: tuple[object, ...]) -> Record | None:
        for _ in range(_TRIES - 1):
            try:
                return await _fetch(await self._opened(), statement, args)
            except self._passing:
                continue
        return await _fetch(await self._opened(), statement, args)

    async def _opened(self) -> Pool[Record]:
        """The pool, once the table is there."""
        if self._ready and self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:
                self._pool = await _connect(self._dsn, self._connections)
            if not self._ready:
                await self._see_to_the_table(self._pool)
                self._ready = True
        return self._pool

    async def _see_to_the_table(self, pool: Pool[Record]) -> None:
        # First a look: CREATE ... IF NOT EXISTS asks for the right to create even where it does.
        found = await _fetch(pool, "SELECT to_regclass($1) AS found", (self._sql.name,))
        if found is not None and found["found"] is not None:
            return
        if not self._create_table:
            raise OnceUnavailable(
                f"there is no table {self._table} in the database: create it, as"
                " PostgresOnce.ddl() says, or leave out create_table=False"
            )
        await _execute(pool, self._sql.create)

    # -- rows whose time is over --------------------------------------------------------------

    def _purge_sometimes(self) -> None:
        now = asyncio.get_running_loop().time()
        self._claims_since_purge += 1
        due = self._claims_since_purge >= _PURGE_EVERY or now >= self._next_purge
        if due and (self._purge is None or self._purge.done()):
            self._claims_since_purge = 0
            self._next_purge = now + _PURGE_SECONDS
            self._purge = asyncio.create_task(self._delete_past())

    async def _delete_past(self) -> None:
        try:
            await self._row(self._sql.purge, _PURGE_ROWS)
        except OnceUnavailable as error:  # no call depends on it, and those that fail say so
            log.warning("rows of %s whose time is over were not deleted: %s", self._table, error)


async def _connect(dsn: str, connections: int) -> Pool[Record]:
    """A pool of our own. Its connections keep no state, so asyncpg need not reset them."""
    import asyncpg  # noqa: PLC0415 - needs the extra

    async def keep(connection: object) -> None:
        """Do nothing, where asyncpg's own reset costs a round trip for each statement."""

    try:
        return await asyncpg.create_pool(dsn, min_size=1, max_size=connections, reset=keep)
    except (ValueError, asyncpg.ClientConfigurationError):
        # Without their words, and without a chain: they may hold a part of the password.
        raise InvalidURL(
            "the URL of PostgreSQL cannot be read; the form is"
            " postgresql://user:password@host:5432/database, with special characters in the"
            " password percent-encoded"
        ) from None


async def _fetch(pool: Pool[Record], statement: str, args: tuple[Any, ...]) -> Record | None:
    connection = await pool.acquire()
    try:
        return await connection.fetchrow(statement, *args)
    except BaseException:
        # Its answer may be on its way still, or never come: asyncpg would wait for it at `release`.
        connection.terminate()
        raise
    finally:
        await pool.release(connection)


async def _execute(pool: Pool[Record], script: str) -> None:
    connection = await pool.acquire()
    try:
        await connection.execute(script)
    except BaseException:
        connection.terminate()
        raise
    finally:
        await pool.release(connection)
