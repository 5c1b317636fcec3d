"""What only the store in PostgreSQL has: a table, a pool of one's own, rows that must go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from leveret.once import Begun, OnceUnavailable, PostgresOnce, Taken
from leveret.once import postgres as postgres_store
from tests.behaviour.patience import until_found
from tests.once.outcomes import LONG, REPLY, SHORT, begin, finish
from tests.once.servers import PASSWORD, PostgresServer

pytestmark = [
    pytest.mark.xdist_group("once"),
    pytest.mark.timeout(60, func_only=True),
]

Ask = Callable[..., Awaitable[object]]


@pytest.fixture
async def ask(postgres_server: PostgresServer) -> AsyncIterator[Ask]:
    """The first value that a statement returns."""
    connection = await asyncpg.connect(postgres_server.url)
    yield connection.fetchval
    await connection.close()


async def test_the_table_can_be_made_by_other_means(
    postgres_server: PostgresServer, scope: str, ask: Ask
) -> None:
    with pytest.raises(OnceUnavailable, match=r"no table .* create it, as PostgresOnce\.ddl\(\)"):
        async with PostgresOnce(postgres_server.url, table=scope, create_table=False):
            pytest.fail("it opened")
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute(PostgresOnce.ddl(scope))
    await connection.execute(PostgresOnce.ddl(scope))
    await connection.close()
    async with PostgresOnce(postgres_server.url, table=scope, create_table=False) as store:
        assert await begin(store) == Begun()


async def test_a_user_who_may_only_read_and_write_the_table_can_use_it(
    postgres_server: PostgresServer, scope: str
) -> None:
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute(
        f"{PostgresOnce.ddl(scope)} CREATE ROLE {scope} LOGIN PASSWORD '{PASSWORD}';"
        f" GRANT SELECT, INSERT, UPDATE, DELETE ON {scope} TO {scope};"
        " REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    )
    await connection.close()
    url = postgres_server.url.replace("//leveret:", f"//{scope}:")
    async with PostgresOnce(url, table=scope) as store:
        await begin(store)
        assert await finish(store)
        await store.release("k", owner="a")
    with pytest.raises(OnceUnavailable, match="permission denied"):
        async with PostgresOnce(url, table=f"{scope}_other"):
            pytest.fail("it opened")


async def test_stores_that_make_the_table_at_once_do_not_collide(
    postgres_server: PostgresServer, scope: str
) -> None:
    stores = [PostgresOnce(postgres_server.url, table=scope, connections=1) for _ in range(10)]
    outcomes = await asyncio.gather(*(begin(store, f"a{n}") for n, store in enumerate(stores)))
    assert outcomes.count(Begun()) == 1
    await asyncio.gather(*(store.close() for store in stores))


async def test_the_table_may_be_in_a_schema(
    postgres_server: PostgresServer, scope: str, ask: Ask
) -> None:
    await ask(f"CREATE SCHEMA {scope}")
    async with PostgresOnce(postgres_server.url, table=f"{scope}.order") as store:
        assert await begin(store) == Begun()
    assert await ask(f'SELECT count(*) FROM {scope}."order"') == 1


@pytest.mark.parametrize(
    "table", ["", "a-b", "a b", 'a"b', "a;b", "Once", "a.b.c", ".a", "a.", "1a", "a" * 60, "a\n"]
)
def test_a_table_with_a_name_that_needs_quotes_is_refused(table: str) -> None:
    with pytest.raises(ValueError, match="a table is named by lower-case letters"):
        PostgresOnce("postgresql://localhost", table=table)


async def test_a_pool_of_ones_own_stays_open(postgres_server: PostgresServer, scope: str) -> None:
    async with asyncpg.create_pool(postgres_server.url, min_size=1, max_size=2) as pool:
        async with PostgresOnce(pool, table=scope) as store:
            await begin(store)
            await finish(store)
            assert await begin(store) == REPLY
        assert await pool.fetchval(f"SELECT count(*) FROM {scope}") == 1


async def test_a_table_that_is_gone_is_a_clear_error(
    postgres_server: PostgresServer, scope: str, ask: Ask
) -> None:
    async with PostgresOnce(postgres_server.url, table=scope) as store:
        await ask(f"DROP TABLE {scope}")
        with pytest.raises(OnceUnavailable, match=f'relation "{scope}" does not exist'):
            await begin(store)


async def test_rows_whose_time_is_over_are_deleted_and_no_others(
    postgres_server: PostgresServer, scope: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_PURGE_EVERY", 5)
    monkeypatch.setattr(postgres_store, "_PURGE_ROWS", 20)
    async with PostgresOnce(postgres_server.url, table=scope) as store:
        for number in range(20):
            await store.begin(f"past {number}", owner="a", lease=SHORT, keep=SHORT)
            await store.finish(f"past {number}", owner="a", recorded=REPLY, keep=SHORT)
        await begin(store, key="claimed")
        await begin(store, key="recorded")
        await finish(store, key="recorded")

        async def left_after_more_calls() -> object:
            for _ in range(5):
                await begin(store, key="claimed")
            return await ask(
                f"SELECT array_agg(convert_from(key, 'UTF8') ORDER BY key) FROM {scope}"
            )

        await until_found(left_after_more_calls, ["claimed", "recorded"], "only these are left")


async def test_a_purge_that_fails_is_logged_and_fails_no_call(
    postgres_server: PostgresServer, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with PostgresOnce(postgres_server.url, table=scope) as store:
        connection = await asyncpg.connect(postgres_server.url)
        await connection.execute(
            f"CREATE FUNCTION {scope}() RETURNS trigger LANGUAGE plpgsql"
            f" AS 'BEGIN RAISE ''no deletes today''; END';"
            f" CREATE TRIGGER t BEFORE DELETE ON {scope}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {scope}()"
        )
        await connection.close()
        assert await begin(store) == Begun()

        async def told() -> bool:
            return "no deletes today" in caplog.text

        await until_found(told, True, "the log tells of it")


@pytest.mark.parametrize("isolation", ["repeatable%20read", "serializable"])
async def test_one_gets_a_key_in_databases_with_strict_isolation_too(
    postgres_server: PostgresServer, scope: str, isolation: str
) -> None:
    url = f"{postgres_server.url}?default_transaction_isolation={isolation}"
    async with PostgresOnce(url, table=scope) as one, PostgresOnce(url, table=scope) as two:
        for number in range(5):
            outcomes = await asyncio.gather(
                *(begin((one, two)[n % 2], f"a{n}", key=f"k{number}") for n in range(20))
            )
            assert outcomes.count(Begun()) == 1
            assert sum(isinstance(outcome, Taken) for outcome in outcomes) == 19
        assert await one.wait("k0", SHORT) is None
        assert await one.finish("none", owner="a", recorded=REPLY, keep=LONG) is False
