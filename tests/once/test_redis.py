"""What only the store in Redis has: a client of one's own, a prefix, times to live."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from leveret.once import Begun, OnceUnavailable, RedisOnce
from tests.once.outcomes import REPLY, begin, finish
from tests.once.servers import RedisServer

pytestmark = [
    pytest.mark.xdist_group("once"),
    pytest.mark.timeout(60, func_only=True),
]


async def test_a_client_of_ones_own_stays_open(redis_server: RedisServer, scope: str) -> None:
    client = Redis.from_url(redis_server.url)
    async with RedisOnce(client, prefix=f"{scope}:") as store:
        await begin(store)
        await finish(store)
        assert await begin(store) == REPLY
    assert await client.exists(f"{scope}:k") == 1
    await client.aclose()


def test_a_client_that_decodes_what_are_bytes_is_refused() -> None:
    client = Redis.from_url("redis://localhost", decode_responses=True)
    with pytest.raises(ValueError, match="decode_responses=False"):
        RedisOnce(client)
    with pytest.raises(ValueError, match="decode_responses=False"):
        RedisOnce("redis://localhost?decode_responses=true")


async def test_redis_forgets_claims_and_records_by_itself(
    redis_server: RedisServer, scope: str
) -> None:
    async with RedisOnce(redis_server.url, prefix=f"{scope}:") as store:
        await store.begin("k", owner="a", lease=10, keep=100)
        assert 109_000 < int(redis_server.ask("PTTL", f"{scope}:k")) <= 110_000
        await store.finish("k", owner="a", recorded=REPLY, keep=1000)
        assert 999_000 < int(redis_server.ask("PTTL", f"{scope}:k")) <= 1_000_000


async def test_stores_with_other_prefixes_do_not_meet(
    redis_server: RedisServer, scope: str
) -> None:
    url = redis_server.url
    async with RedisOnce(url, prefix=f"{scope}:") as one, RedisOnce(url, prefix=f"{scope}") as two:
        assert await begin(one) == Begun()
        assert await begin(two) == Begun()


async def test_a_redis_that_lost_the_scripts_gets_them_again(
    redis_server: RedisServer, scope: str
) -> None:
    async with RedisOnce(redis_server.url, prefix=f"{scope}:") as store:
        await begin(store)
        redis_server.ask("SCRIPT", "FLUSH")
        assert await finish(store)


async def test_a_key_that_is_somebody_elses_is_an_error_and_stays(
    redis_server: RedisServer, scope: str
) -> None:
    redis_server.ask("SET", f"{scope}:k", "theirs")
    async with RedisOnce(redis_server.url, prefix=f"{scope}:") as store:
        with pytest.raises(OnceUnavailable, match="WRONGTYPE"):
            await begin(store)
    assert redis_server.ask("GET", f"{scope}:k").strip() == "theirs"
