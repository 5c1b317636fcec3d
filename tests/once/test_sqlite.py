"""What is SQLite's own: a file, that processes share, lock, fill, replace and leave behind."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from leveret.errors import InvalidURL
from leveret.once import Abandoned, Begun, OnceUnavailable, SqliteOnce, Taken, store_of
from tests.behaviour.patience import until_found
from tests.once.outcomes import LONG, REPLY, begin, finish

CLAIMANT = Path(__file__).with_name("claimant.py")
HOLDER = """
import asyncio, sys
from leveret.once import SqliteOnce
async def hold():
    async with SqliteOnce(sys.argv[1]) as store:
        await store.begin("k", owner="dead", lease=float(sys.argv[2]), keep=60)
        print("claimed", flush=True)
        await asyncio.sleep(600)
asyncio.run(hold())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "once.db"


def test_two_processes_on_one_file_claim_each_key_once(path: Path) -> None:
    count = 50
    processes = [
        subprocess.Popen(
            [sys.executable, CLAIMANT, "sqlite", path, "-", f"process-{n}", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    claimed = [key for process in processes for key in json.loads(process.communicate()[0])]
    assert sorted(claimed) == list(range(count))


def claim_and_die(path: Path, lease: float) -> None:
    """Have a process claim "k", and kill it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(lease)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "claimed\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()


@pytest.mark.parametrize("lease", [3600.0, 1e-6], ids=["valid", "past"])
async def test_the_claim_of_a_process_that_is_killed_stays_until_its_lease_is_over(
    path: Path, lease: float
) -> None:
    await asyncio.to_thread(claim_and_die, path, lease)
    async with SqliteOnce(path) as store:
        found = await begin(store, "alive")
        assert isinstance(found, Taken if lease > 1 else Abandoned)
        assert found.owner == "dead"
        if lease < 1:
            assert await begin(store, "alive", takeover=True) == Begun()


async def test_a_file_that_another_program_locks_is_a_clear_error_and_works_afterwards(
    path: Path,
) -> None:
    async with SqliteOnce(path, timeout=2) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OnceUnavailable, match="database is locked"):
            await begin(store)
        other.execute("ROLLBACK")
        other.close()
        await until_found(lambda: begin(store), Begun(), "the lock is gone")


async def test_a_full_disk_is_a_clear_error_and_nothing_is_half_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    async with SqliteOnce(path) as store:
        await begin(store)
        large = type(REPLY)(kind="result", content_type="bytes", body=bytes(1_000_000))
        opened[0].execute("PRAGMA max_page_count=8")  # the store's thread has nothing to do
        with pytest.raises(OnceUnavailable, match="database or disk is full"):
            await store.finish("k", owner="a", recorded=large, keep=LONG)
        assert isinstance(await begin(store, "b"), Taken)
        opened[0].execute("PRAGMA max_page_count=100000")
        assert await store.finish("k", owner="a", recorded=large, keep=LONG)


async def test_a_file_that_cannot_be_written_is_found_when_the_store_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteOnce(path):
        pass
    connect = sqlite3.connect

    def read_only(database: object, **options: object) -> sqlite3.Connection:
        return connect(f"file:{database}?mode=ro", uri=True, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(OnceUnavailable, match=r"readonly database.* can be written from here"):
        async with SqliteOnce(path):
            pytest.fail("it opened")


@pytest.mark.parametrize("bad", ["no such folder/once.db", "."])
async def test_a_path_that_cannot_be_opened_is_a_clear_error(tmp_path: Path, bad: str) -> None:
    with pytest.raises(OnceUnavailable, match="unable to open database file"):
        async with SqliteOnce(tmp_path / bad):
            pytest.fail("it opened")


@pytest.fixture
def no_database(path: Path) -> Path:
    path.write_bytes(b"this is no database, but a text that somebody put here" * 100)
    return path


async def test_a_file_that_is_no_database_is_a_clear_error(no_database: Path) -> None:
    with pytest.raises(OnceUnavailable, match="file is not a database"):
        async with SqliteOnce(no_database):
            pytest.fail("it opened")


async def test_what_fails_in_a_transaction_fails_alone(path: Path) -> None:
    async with SqliteOnce(path) as store:
        blocked = sqlite3.connect(path, isolation_level=None)
        blocked.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON leveret_once WHEN NEW.owner = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
        blocked.close()
        owners = ["a", "b", "bad", "c"]
        found = await asyncio.gather(
            *(begin(store, owner, key=f"k {owner}") for owner in owners), return_exceptions=True
        )
    assert [str(one) for one in found if isinstance(one, Exception)] == [str(found[2])]
    assert "not this one" in str(found[2])


async def test_a_file_that_was_replaced_is_opened_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteOnce(path) as store, SqliteOnce(path) as other:
        await begin(store)
        for file in path.parent.iterdir():
            file.unlink()
        assert await begin(store, "a") == Begun()
        assert isinstance(await begin(other, "b"), Taken)  # of the same new file
    assert "was replaced or deleted" in caplog.text


async def test_what_is_recorded_is_there_after_the_file_was_closed(path: Path) -> None:
    async with SqliteOnce(path) as store:
        await begin(store)
        await finish(store)
    with pytest.raises(OnceUnavailable, match="closed"):
        await begin(store)
    async with SqliteOnce(str(path)) as store:
        assert await begin(store, "b") == REPLY


async def test_rows_whose_time_is_over_are_deleted(path: Path) -> None:
    async with SqliteOnce(path) as store:
        await store.begin("past", owner="a", lease=1e-6, keep=1e-6)
        for _ in range(500):
            await begin(store)
        other = sqlite3.connect(path)
        assert other.execute("SELECT count(*) FROM leveret_once").fetchone() == (1,)
        other.close()


async def test_a_store_is_named_by_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite:///{tmp_path}/a%20b.db", "sqlite:///relative.db"):
        async with store_of(url) as store:
            assert store.shared
            assert await begin(store) == Begun()
    for name in ("a b.db", "relative.db"):
        async with SqliteOnce(tmp_path / name) as store:
            assert isinstance(await begin(store, "b"), Taken)
    for bad in ("sqlite://host/x", "sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with pytest.raises(InvalidURL, match="sqlite:///"):
            store_of(bad)


async def test_servers_that_start_at_once_make_one_new_file(tmp_path: Path) -> None:
    for n in range(40):
        stores = [SqliteOnce(tmp_path / f"{n}.db") for _ in range(8)]
        async with AsyncExitStack() as stack:
            await asyncio.gather(*map(stack.enter_async_context, stores))
