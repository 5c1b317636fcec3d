"""A process that claims keys at the same time as others: `claimant.py KIND URL SCOPE OWNER NUMBER`.

Says "ready" when its store is open, begins when a line comes, and prints a JSON list of the keys
that it got.
"""

from __future__ import annotations

import asyncio
import json
import sys

from leveret.once import Begun, OnceStore, PostgresOnce, RedisOnce, SqliteOnce


async def claim(kind: str, url: str, scope: str, owner: str, number: str) -> list[int]:
    store: OnceStore
    if kind == "sqlite":
        store = SqliteOnce(url)
    elif kind == "redis":
        store = RedisOnce(url, prefix=f"{scope}:")
    else:
        store = PostgresOnce(url, table=scope)
    async with store:
        print("ready", flush=True)
        sys.stdin.readline()
        outcomes = await asyncio.gather(
            *(store.begin(f"key {n}", owner=owner, lease=60, keep=60) for n in range(int(number)))
        )
    return [n for n, outcome in enumerate(outcomes) if outcome == Begun()]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(claim(*sys.argv[1:]))))
