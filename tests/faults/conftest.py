"""A diary and an oracle for each test, and a tidy end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leveret.testing import RabbitMQ
from tests.behaviour.patience import until_found
from tests.brokers import OnEmbedded, OnRabbitMQ
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """No task outlives a test, and none of asyncio's callbacks failed unseen."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield

    async def left() -> set[asyncio.Task[Any]]:
        current = asyncio.current_task()
        return {task for task in asyncio.all_tasks() - before if task is not current}

    await until_found(left, set(), "all tasks end")
    assert not complaints


@pytest.fixture
def diary(tmp_path: Path) -> Iterator[Diary]:
    """What the handlers of this test write into."""
    diary = Diary(tmp_path / "diary", "a")
    yield diary
    diary.close()


@pytest.fixture
async def oracle(diary: Diary) -> AsyncIterator[Oracle]:
    """Who makes the calls of this test, and judges them."""
    async with Oracle(diary) as oracle:
        yield oracle


@pytest.fixture
def close_all(broker: OnRabbitMQ | OnEmbedded, request: pytest.FixtureRequest) -> Callable[[], int]:
    """Has the operator close all connections of this test, and says how many there were."""
    if isinstance(broker, OnEmbedded):
        embedded = broker

        async def close() -> int:
            return embedded.broker.close_connections("a test", vhost=embedded.vhost)

        return lambda: embedded._loop.run(close())
    rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
    vhost = broker.vhost if rabbitmq.owned else None
    return lambda: rabbitmq.close_connections("a test", vhost=vhost)
