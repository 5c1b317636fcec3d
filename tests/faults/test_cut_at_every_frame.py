"""The socket is cut before, in and after every single frame: of a call, and of a reconnect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from leveret.testing import Cut, Moment, after_frame, before_frame, inside_frame
from leveret.testing.faults.moments import Direction
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import Link, Scene, scene

Where = Callable[[int, Direction], Moment]

_WHERE: Final[dict[str, Where]] = {
    "before": before_frame,
    "inside": lambda n, direction: inside_frame(n, 9, direction),
    "after": after_frame,
}
_DIRECTIONS: Final[tuple[Direction, ...]] = ("to_broker", "to_client")
_LINKS: Final = {"client": ("client", 1), "server": ("server", 1), "one of two": ("server", 2)}


@pytest.mark.parametrize("where", _WHERE)
@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "other"])
@pytest.mark.parametrize("direction", _DIRECTIONS)
@pytest.mark.parametrize(("broken", "servers"), _LINKS.values(), ids=_LINKS)
async def test_a_call_whose_connection_is_cut_at_any_frame(
    broken: Link,
    servers: int,
    direction: Direction,
    idempotent: bool,
    where: str,
    broker_url: str,
    oracle: Oracle,
    diary: Diary,
) -> None:
    timeout = 6.0 if idempotent else 1.5
    async with scene(broker_url, diary, broken=broken, servers=servers) as there:
        n = missed = 0
        while missed < 2:  # then the positions lie past the call's end
            n += 1
            await there.whole()
            rule = there.proxy.when(_WHERE[where](n, direction), Cut())
            for _ in range(1 if servers == 1 else 4):  # the other server takes some
                await oracle.call(
                    there.client, idempotent=idempotent, timeout=timeout, seconds=0.005
                )
                if rule.fired.is_set():
                    break
            missed = 0 if rule.fired.is_set() else missed + 1
            oracle.faults += rule.fired.is_set()
            rule.remove()
        assert n - missed >= 2, f"a call has more frames {direction} than {n - missed}"
        await oracle.fair()


@pytest.mark.parametrize("direction", _DIRECTIONS)
@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_connection_that_is_cut_again_at_any_frame_while_it_is_restored(
    broken: Link, direction: Direction, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken=broken) as there:
        n = missed = 0
        while missed < 1:
            n += 1
            await there.whole()
            missed += not await _cut_twice(there, after_frame(n, direction), oracle)
        assert n >= 8, f"a connection takes more frames {direction} than {n}"
        await oracle.fair()


async def _cut_twice(there: Scene, moment: Moment, oracle: Oracle) -> bool:
    """Cut with calls under way, and again at a moment of the next connection; whether it came."""
    await oracle.call(there.client, idempotent=True, timeout=6.0)  # all is restored
    calls = [
        oracle.begin(
            there.client, idempotent=idempotent, timeout=6.0 if idempotent else 3.0, seconds=0.03
        )
        for idempotent in (True, False)
    ]
    await oracle.handlers_began()
    there.proxy.cut()
    rule = there.proxy.when(moment, Cut())
    for call in calls:
        await call
    await there.whole()
    oracle.faults += 1 + rule.fired.is_set()
    rule.remove()
    return rule.fired.is_set()
