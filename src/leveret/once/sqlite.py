"""Replies in a SQLite file, seen by all servers on one machine that use the same file.

One row for each key, claimed by `INSERT ... ON CONFLICT` in a transaction that takes the write lock
first (https://www.sqlite.org/lang_transaction.html, BEGIN IMMEDIATE), by the machine's clock. The
file is in WAL mode with `synchronous=FULL`: what is committed survives the death of any process,
and of the machine as far as its disk keeps its word. WAL needs shared memory, so all servers must
be on one machine and the file not on a network's file system (https://www.sqlite.org/wal.html).

A thread of the store's own does all work: SQLite waits for disks and for locks. Whatever was asked
for meanwhile is one transaction then, so that many share one write to the disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

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
from leveret.once.store import Abandoned, Begun, OnceUnavailable, Outcome, Recorded, Taken

__all__ = ["SqliteOnce"]

log = logging.getLogger("leveret.once")

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], object]

_CLOSED: Final = "this SqliteOnce is closed"
_BATCH: Final = 256
"""How much work one transaction does at most."""
_LOCKED: Final = 0.8
"""The part of the time-out that a lock of another process may take."""
_TRIED_EVERY: Final = 0.01
"""Seconds between two attempts to turn a new file's log on."""
_PURGE_EVERY: Final = 500
"""Changes after which rows are deleted whose time is over."""
_PURGE_SECONDS: Final = 60.0
"""Seconds after which they are, where there are few changes."""
_PURGE_ROWS: Final = 1_000
"""How many at once: twice as many as may come meanwhile."""

_CREATE: Final = (
    """
CREATE TABLE IF NOT EXISTS leveret_once (
    key BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    lease_until REAL NOT NULL,
    forget_at REAL NOT NULL,
    kind TEXT,  -- NULL: claimed, and not recorded
    content_type TEXT,
    body BLOB,
    metadata TEXT
)""",
    "CREATE INDEX IF NOT EXISTS leveret_once_forget_at ON leveret_once (forget_at)",
)

_BEGIN: Final = """
INSERT INTO leveret_once (key, owner, lease_until, forget_at)
VALUES (:key, :owner, :lease_until, :forget_at)
ON CONFLICT (key) DO UPDATE
SET owner = excluded.owner, lease_until = excluded.lease_until, forget_at = excluded.forget_at,
    kind = NULL, content_type = NULL, body = NULL, metadata = NULL
WHERE leveret_once.forget_at <= :now
   OR leveret_once.kind IS NULL
      AND (leveret_once.owner = excluded.owner
           OR :takeover AND leveret_once.lease_until <= :now)"""

_LOOK: Final = """
SELECT owner, lease_until, kind, content_type, body, metadata FROM leveret_once
WHERE key = ? AND forget_at > ?"""

_FINISH: Final = """
UPDATE leveret_once
SET forget_at = CASE WHEN kind IS NULL THEN :forget_at ELSE forget_at END,
    kind = coalesce(kind, :kind),
    content_type = coalesce(content_type, :content_type),
    body = coalesce(body, :body),
    metadata = coalesce(metadata, :metadata)
WHERE key = :key AND owner = :owner AND forget_at > :now"""

_RELEASE: Final = "DELETE FROM leveret_once WHERE key = ? AND owner = ? AND kind IS NULL"

_PURGE: Final = """
DELETE FROM leveret_once WHERE key IN (
    SELECT key FROM leveret_once WHERE forget_at <= ? ORDER BY forget_at LIMIT ?
)"""


class _Asked(NamedTuple):
    """What the thread is asked to do."""

    work: Work
    writes: bool
    answer: asyncio.Future[Any]


_Outcome = tuple[object, Exception | None]
"""What has come of it: a result, or an error."""


class SqliteOnce:
    """A `OnceStore` in a SQLite file, for servers on one machine; SQLite 3.24 or later.

    Servers on other machines do not see its keys, and it cannot tell that there are some: then use
    `RedisOnce` or `PostgresOnce`.

    :param path: the file, which is made where it is missing; its folder must be there.
    :param timeout: seconds after which an operation is given up.
    :param max_body: bytes of a body above which only its size is recorded.
    :raises ValueError: if it is no path of a file.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout: float = 5.0, max_body: int = MAX_BODY
    ) -> None:
        if not os.fspath(path) or os.fspath(path) == ":memory:":
            raise ValueError("SqliteOnce takes the path of a file; for memory there is MemoryOnce")
        self._path = Path(path).absolute()
        self._timeout = timeout
        self._max_body = max_body
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="leveret-once")
        self._closed = False
        self._waiting: deque[_Asked] = deque()
        self._is_working = False
        # What follows belongs to the thread.
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)  # what was opened: its device and inode
        self._writes_since_purge = 0
        self._next_purge = 0.0

    @property
    def shared(self) -> bool:
        """Yes: all servers on this machine with the same file see the same keys."""
        return True

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        """Claim a key, or say what is known of it; see `OnceStore.begin`."""
        name = key_bytes(key)
        check_owner(owner)
        check_seconds(lease=lease, keep=keep)
        return await self._run(partial(self._begin, name, owner, lease, keep, takeover))

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        """Record the reply of a request that ran; see `OnceStore.finish`."""
        name = key_bytes(key)
        check_owner(owner)
        check_seconds(keep=keep)
        record = fitted(recorded, self._max_body)
        return await self._run(partial(self._finish, name, owner, record, keep))

    async def release(self, key: str, *, owner: str) -> None:
        """Forget this owner's claim; see `OnceStore.release`."""
        name = key_bytes(key)
        check_owner(owner)
        await self._run(partial(self._release, name, owner))

    async def wait(self, key: str, timeout: float) -> Recorded | None:
        """Wait for the record of a request that another runs; see `OnceStore.wait`."""
        name = key_bytes(key)
        return await poll(lambda: self._run(partial(self._look, name), writes=False), timeout)

    async def look(self, key: str) -> Found:
        """What is known of a key; see `LastingStore.look`."""
        return await self._run(partial(self._look, key_bytes(key)), writes=False)

    async def close(self) -> None:
        """Close the file."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        except TimeoutError:
            log.warning("%s was not closed within %g s", self._path, self._timeout)
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._check)
        except BaseException:
            await self.close()  # nobody leaves what could not be entered
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = True) -> T:
        """Have the thread do something. Where it is cut off, the thread does it all the same.

        :param writes: whether it may change anything.
        """
        if self._closed:
            raise OnceUnavailable(_CLOSED)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(work, writes, answer))
        if not self._is_working:
            self._work_on()
        try:
            async with asyncio.timeout(self._timeout):
                result: T = await answer
                return result
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {self._timeout:g} s") from error
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._unavailable(str(error)) from error

    def _work_on(self) -> None:
        """Give the thread what waits."""
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        self._is_working = True
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, self._done, batch)
        done.add_done_callback(partial(self._answer, batch))

    def _answer(self, batch: list[_Asked], done: asyncio.Future[list[_Outcome]]) -> None:
        """Tell who asked what has come of it."""
        self._is_working = False
        for asked, (result, error) in zip(batch, done.result(), strict=True):
            if asked.answer.done():
                continue  # it was cut off
            if error is None:
                asked.answer.set_result(result)
            else:
                asked.answer.set_exception(error)
        if self._closed:
            for asked in self._waiting:
                if not asked.answer.done():
                    asked.answer.set_exception(OnceUnavailable(_CLOSED))
            self._waiting.clear()
        elif self._waiting:
            self._work_on()

    def _unavailable(self, reason: str) -> OnceUnavailable:
        return OnceUnavailable(
            f"the store of idempotency keys cannot be used (SQLite, {self._path}: {reason}); until"
            " it can, requests with such keys are not run. See that the file and its folder can be"
            " written from here, that the disk has room, and that no other program locks the file"
        )

    # -- in the thread ------------------------------------------------------------------------

    def _done(self, batch: list[_Asked]) -> list[_Outcome]:
        """Do all of that, or each by itself where something in it fails."""
        try:
            connection = self._connected()
            outcomes = _transacted(connection, batch)
        except (sqlite3.Error, OSError, ValueError) as error:
            if len(batch) == 1:
                return [(None, error)]
            return [outcome for asked in batch for outcome in self._done([asked])]
        self._purge_sometimes(connection, sum(asked.writes for asked in batch))
        return outcomes

    def _connected(self) -> sqlite3.Connection:
        """A connection to the file that the path names now: it may have been replaced."""
        if self._connection is not None:
            if _identity(self._path) == self._file:
                return self._connection
            log.warning("%s was replaced or deleted; what was recorded in it is gone", self._path)
            self._disconnect()
        connection = sqlite3.connect(
            self._path,
            timeout=self._timeout * _LOCKED,
            isolation_level=None,  # transactions are begun by hand
            check_same_thread=False,
        )
        try:
            _log_writes(connection, self._timeout * _LOCKED)
            connection.execute("PRAGMA synchronous=FULL")
            for statement in _CREATE:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, _identity(self._path)
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _check(self, connection: sqlite3.Connection) -> None:
        """Find out now whether the file can be written."""
        connection.execute(_RELEASE, (b"", ""))

    def _begin(
        self,
        key: bytes,
        owner: str,
        lease: float,
        keep: float,
        takeover: bool,
        connection: sqlite3.Connection,
    ) -> Outcome:
        now = time.time()
        claim = {
            "key": key,
            "owner": owner,
            "lease_until": now + lease,
            "forget_at": now + lease + keep,
            "now": now,
            "takeover": takeover,
        }
        begun = connection.execute(_BEGIN, claim).rowcount == 1
        found = None if begun else _found(connection, key, now)
        return Begun() if found is None else found

    def _look(self, key: bytes, connection: sqlite3.Connection) -> Found:
        return _found(connection, key, time.time())

    def _finish(
        self,
        key: bytes,
        owner: str,
        record: Recorded,
        keep: float,
        connection: sqlite3.Connection,
    ) -> bool:
        now = time.time()
        row = {
            "key": key,
            "owner": owner,
            "kind": record.kind,
            "content_type": record.content_type,
            "body": record.body,
            "metadata": pack_metadata(record.metadata),
            "forget_at": now + keep,
            "now": now,
        }
        return connection.execute(_FINISH, row).rowcount == 1

    def _release(self, key: bytes, owner: str, connection: sqlite3.Connection) -> None:
        connection.execute(_RELEASE, (key, owner))

    def _purge_sometimes(self, connection: sqlite3.Connection, writes: int) -> None:
        now = time.time()
        self._writes_since_purge += writes
        if self._writes_since_purge < _PURGE_EVERY and now < self._next_purge:
            return
        self._writes_since_purge, self._next_purge = 0, now + _PURGE_SECONDS
        try:
            connection.execute(_PURGE, (now, _PURGE_ROWS))
        except sqlite3.Error as error:  # no call depends on it, and those that fail say so
            log.warning("rows of %s whose time is over were not deleted: %s", self._path, error)


def _transacted(connection: sqlite3.Connection, batch: list[_Asked]) -> list[_Outcome]:
    """Do all of that in one transaction, if anything in it may change the file."""
    if not any(asked.writes for asked in batch):
        return [(asked.work(connection), None) for asked in batch]
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes: list[_Outcome] = [(asked.work(connection), None) for asked in batch]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
    return outcomes


def _log_writes(connection: sqlite3.Connection, seconds: float) -> None:
    """Have a file keep its writes in a log, beside which others can read.

    Servers that start at once may all do that to a new file. SQLite's own timeout does not hold for
    it: whoever comes second is told at once that the file is locked.

    :raises sqlite3.Error: if that cannot be done within this number of seconds.
    """
    give_up = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_locked or time.monotonic() >= give_up:
                raise
            time.sleep(_TRIED_EVERY)
        else:
            return


def _found(connection: sqlite3.Connection, key: bytes, now: float) -> Found:
    """What is known of a key at a moment."""
    row = connection.execute(_LOOK, (key, now)).fetchone()
    if row is None:
        return None
    owner, lease_until, kind, content_type, body, metadata = row
    if kind is not None:
        return Recorded(
            kind=kind,
            content_type=content_type,
            body=body,
            metadata=unpack_metadata(metadata),
            owner=owner,
        )
    if lease_until > now:
        return Taken(owner=owner, remaining=lease_until - now)
    return Abandoned(owner=owner)


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino
