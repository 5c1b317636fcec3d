from __future__ import annotations

import asyncio

import pytest

from leveret.transport.event_loop import check_loop


def test_whoever_is_in_another_loop_is_told_what_to_do() -> None:
    async def check(loop: asyncio.AbstractEventLoop) -> None:
        check_loop(asyncio.get_running_loop())
        check_loop(loop)

    other = asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="another event loop: each loop needs"):
        asyncio.run(check(other))
    other.close()
    with pytest.raises(RuntimeError, match="has ended, .* `await rabbit` opens it again"):
        asyncio.run(check(other))
