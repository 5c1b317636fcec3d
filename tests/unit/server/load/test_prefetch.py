"""Another prefetch for all queues of a method, one change at a time."""

from __future__ import annotations

import asyncio

from leveret.server.load.prefetch import Prefetch


class Queue:
    """A queue that has its new prefetch when the test says so."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.changing = False
        self.asked: list[int] = []
        self.changed = asyncio.Event()

    async def change_prefetch(self, prefetch: int) -> None:
        self.asked.append(prefetch)
        self.changing = True
        await self.changed.wait()
        self.changing = False


class Scene:
    def __init__(self, *queues: Queue) -> None:
        self.wanted: int | None = 8
        self.asked_at: list[float] = []
        self.prefetch = Prefetch(
            asyncio.get_running_loop(), self._changed, lambda: 5.0, varies=True
        )
        self.prefetch.queues.extend(queues)

    def _changed(self, now: float) -> int | None:
        self.asked_at.append(now)
        return self.wanted


async def test_all_open_queues_are_given_it() -> None:
    queues = Queue(), Queue(is_open=False), Queue()
    scene = Scene(*queues)
    scene.prefetch.adjust()
    await asyncio.sleep(0)
    assert [queue.asked for queue in queues] == [[8], [], [8]]
    assert scene.asked_at == [5.0]
    for queue in queues:
        queue.changed.set()
    await scene.prefetch.settled()
    assert not any(queue.changing for queue in queues)
    await scene.prefetch.settled()  # there is nothing to wait for


async def test_nothing_is_asked_for_while_a_change_is_under_way() -> None:
    queue = Queue()
    scene = Scene(queue)
    scene.prefetch.adjust()
    await asyncio.sleep(0)
    scene.prefetch.adjust()
    assert scene.asked_at == [5.0]
    queue.changed.set()
    await scene.prefetch.settled()
    scene.prefetch.adjust()
    await scene.prefetch.settled()
    assert queue.asked == [8, 8]


async def test_a_prefetch_that_is_right_stays() -> None:
    queue = Queue()
    scene = Scene(queue)
    scene.wanted = None
    scene.prefetch.adjust()
    await scene.prefetch.settled()
    assert not queue.asked
