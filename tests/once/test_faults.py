"""Stores whose server dies, hangs, comes back or refuses: a clear error in time, never a hang."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import pytest

from leveret.errors import InvalidURL, LeveretError
from leveret.once import Begun, OnceStore, OnceUnavailable, PostgresOnce, RedisOnce, Taken
from tests.behaviour.patience import at_once, until_found
from tests.once.conftest import SHARED, Make
from tests.once.outcomes import LONG, REPLY, begin, finish
from tests.once.servers import PASSWORD, PostgresServer, RedisServer, StoreServer

pytestmark = [
    pytest.mark.xdist_group("once"),
    pytest.mark.timeout(60, func_only=True),
]


@pytest.fixture(params=SHARED)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def server(kind: str, request: pytest.FixtureRequest) -> StoreServer:
    """One that tests may kill; the next test finds it up again."""
    server: StoreServer = request.getfixturevalue(f"own_{kind}")
    server.start()
    return server


@pytest.fixture
def make(kind: str, server: StoreServer, scope: str) -> Make:
    if kind == "redis":
        return lambda **options: RedisOnce(server.url, prefix=f"{scope}:", **options)
    return lambda **options: PostgresOnce(server.url, table=scope, **options)


async def is_held_up(kind: str, server: StoreServer, scope: str) -> Callable[[], Awaitable[bool]]:
    """Have the next `begin` of "k" hang in the server; returns what tells whether it does."""
    if kind == "redis":
        assert isinstance(server, RedisServer)
        assert server.ask("CLIENT", "PAUSE", "60000", "WRITE").strip() == "OK"

        async def waits() -> bool:
            return "flags=b " in server.ask("CLIENT", "LIST")

        return waits
    other = await asyncpg.connect(server.url)
    await other.execute(
        f"BEGIN; INSERT INTO {scope} VALUES ('k', 'other', now(), now() + '1 hour')"
    )

    async def waits_for_lock() -> bool:
        return bool(
            await other.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            )
        )

    return waits_for_lock


async def test_a_server_killed_while_it_begins_is_a_clear_error(
    make: Make, kind: str, server: StoreServer, scope: str
) -> None:
    async with make(timeout=30) as store:
        held_up = await is_held_up(kind, server, scope)
        beginning = asyncio.create_task(begin(store))
        await until_found(held_up, True, "begin has reached the server")
        server.kill()
        async with at_once():
            with pytest.raises(OnceUnavailable, match="until it can, requests .* are not run"):
                await beginning


async def test_a_server_that_hangs_is_a_clear_error_after_the_timeout_and_works_when_it_wakes(
    make: Make, server: StoreServer
) -> None:
    async with make(timeout=0.5) as store:
        await begin(store, "a")
        server.freeze()
        try:
            async with at_once():
                for attempt in (begin(store, "b"), finish(store, "a"), begin(store, key="other")):
                    with pytest.raises(OnceUnavailable, match=r"no answer within 0\.5 s"):
                        await attempt
                assert await store.wait("k", 0.2) is None
        finally:
            server.thaw()
        await until_found(lambda: known(store, "a"), Begun(), "it works again")
        assert await finish(store, "a")


async def test_an_open_that_hangs_ends_at_the_timeout(make: Make, server: StoreServer) -> None:
    server.freeze()
    try:
        async with at_once():
            with pytest.raises(OnceUnavailable, match=r"no answer within 0\.5 s"):
                async with make(timeout=0.5):
                    pytest.fail("it opened")
    finally:
        server.thaw()


async def test_a_store_works_on_when_its_server_has_come_back_and_forgets_nothing(
    make: Make, server: StoreServer
) -> None:
    async with make() as store:
        await begin(store, "a", key="recorded")
        await finish(store, "a", key="recorded")
        await asyncio.gather(*(begin(store, key=f"k{n}") for n in range(10)))
        server.kill()
        with pytest.raises(OnceUnavailable):
            await begin(store, "b")
        server.start()
        assert await begin(store, "b") == Begun()
        assert await begin(store, "b", key="recorded") == REPLY
        for number in range(10):
            assert isinstance(await begin(store, "b", key=f"k{number}"), Taken)


async def test_no_server_is_a_clear_error_at_once(make: Make, server: StoreServer) -> None:
    server.kill()
    store = make()
    async with at_once():
        with pytest.raises(OnceUnavailable, match="cannot be used"):
            async with store:
                pytest.fail("it opened")
        with pytest.raises(OnceUnavailable, match="cannot be used"):
            await make().begin("k", owner="a", lease=LONG, keep=LONG)


async def test_who_waits_is_told_when_the_server_dies(make: Make, server: StoreServer) -> None:
    async with make() as store:
        await begin(store)
        waiting = asyncio.create_task(store.wait("k", LONG))
        await until_found(lambda: store.wait("k", 0), None, "it is still waited for")
        server.kill()
        async with at_once():
            with pytest.raises(OnceUnavailable):
                await waiting


async def test_a_begin_that_is_cancelled_leaves_a_store_that_works(make: Make) -> None:
    async with make(connections=2) as store:
        for number in range(30):
            beginning = [
                asyncio.create_task(begin(store, key=f"k{number}-{n}", owner="a")) for n in range(6)
            ]
            for _ in range(number):
                await asyncio.sleep(0)  # so that each round cancels at another point
            for task in beginning:
                task.cancel()
            await asyncio.wait(beginning)
        async with at_once():
            for number in range(30):
                assert await begin(store, "a", key=f"k{number}-0") == Begun()


async def test_a_closed_store_refuses(make: Make) -> None:
    async with make() as store:
        await begin(store)
    with pytest.raises(OnceUnavailable, match="closed"):
        await begin(store)


async def test_a_wrong_password_is_an_error_that_does_not_show_it(
    kind: str, server: StoreServer
) -> None:
    url = server.url.replace(PASSWORD, "tell-nobody")
    store = RedisOnce(url) if kind == "redis" else PostgresOnce(url)
    with pytest.raises(OnceUnavailable, match="cannot be used") as raised:
        await begin(store)
    assert "tell-nobody" not in "".join(traceback.format_exception(raised.value))
    assert "tell-nobody" not in repr(store)
    await store.close()


@pytest.mark.parametrize(
    "url", ["{}://:tell-nobody:1/x@host", "tell-nobody@host", "{}://h:tell-nobody"]
)
async def test_a_url_that_cannot_be_read_is_an_error_that_does_not_show_it(
    kind: str, url: str
) -> None:
    scheme = "redis" if kind == "redis" else "postgresql"
    with pytest.raises((InvalidURL, OnceUnavailable)) as raised:
        await opened(kind, url.format(scheme))
    assert isinstance(raised.value, InvalidURL), "it must be told at the first look at it"
    assert "tell-nobody" not in "".join(traceback.format_exception(raised.value, chain=True))


async def opened(kind: str, url: str) -> None:
    async with RedisOnce(url) if kind == "redis" else PostgresOnce(url):
        pytest.fail("it opened")


async def known(store: OnceStore, owner: str) -> object:
    try:
        return await begin(store, owner)
    except LeveretError as error:
        return error
