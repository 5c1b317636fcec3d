"""What the tests of all stores say often."""

from __future__ import annotations

import asyncio

from leveret.once import Begun, OnceStore, Outcome, Recorded

LONG = 60.0
"""Seconds of a lease, or of keeping, that no test lives to see the end of."""
SHORT = 0.05

REPLY = Recorded(kind="result", content_type="application/json", body=b"832040")


async def begin(
    store: OnceStore, owner: str = "a", *, key: str = "k", takeover: bool = False
) -> Outcome:
    return await store.begin(key, owner=owner, lease=LONG, keep=LONG, takeover=takeover)


async def finish(
    store: OnceStore, owner: str = "a", *, key: str = "k", reply: Recorded = REPLY
) -> bool:
    return await store.finish(key, owner=owner, recorded=reply, keep=LONG)


async def abandon(store: OnceStore, owner: str = "a", *, key: str = "k") -> None:
    """Claim a key, and return once the lease is over by the store's own clock."""
    assert await store.begin(key, owner=owner, lease=SHORT, keep=LONG) == Begun()
    while True:
        match await store.begin(key, owner="looker", lease=LONG, keep=LONG):
            case Recorded() | Begun():
                raise AssertionError("the claim was lost")
            case found if hasattr(found, "remaining"):
                await asyncio.sleep(SHORT / 10)
            case _:
                return
