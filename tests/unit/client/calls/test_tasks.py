from __future__ import annotations

import asyncio

from leveret.client.calls.tasks import Tasks


async def test_what_is_begun_ends_by_itself_or_with_its_owner() -> None:
    tasks = Tasks(asyncio.get_running_loop())

    async def give(value: int) -> int:
        return value

    assert await tasks.begin(give(3)) == 3
    endless = tasks.begin(asyncio.sleep(60))
    await asyncio.sleep(0)
    await tasks.close()
    assert endless.cancelled()
    await tasks.close()
