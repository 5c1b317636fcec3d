from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from leveret.broker.shared import SharedBroker, share


async def test_a_broker_goes_when_as_many_left_as_came() -> None:
    broker = await share("a")
    assert await share("a") is broker
    await broker.leave()
    assert await share("a") is broker
    await broker.leave()
    await broker.leave()
    again = await share("a")
    assert again is not broker
    await again.leave()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_ends_without_leaving_takes_its_broker_along() -> None:
    async def begin() -> weakref.ref[SharedBroker]:
        return weakref.ref(await share())

    broker = asyncio.run(begin())
    gc.collect()
    assert broker() is None
