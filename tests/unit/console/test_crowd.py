"""Pages of many servers with many methods cost what they show, and not what there is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import httpx
import pytest
from starlette.applications import Starlette

import leveret
from leveret.console.access import Access
from leveret.console.application import routes
from leveret.console.board import Board
from leveret.console.figures import quantile
from leveret.console.rendering import Pages
from leveret.console.system import System
from leveret.wire.stats import CallerStats, HistogramStats, QueueStats, ServerStats

SERVERS: Final = 20
METHODS: Final = 1_000
TIMES: Final = HistogramStats(counts=[0] * 4 + [5] + [0] * 16, seconds=0.05)
PACKAGE: Final = f"{Path(leveret.__file__).parent}/"
MOST_CALLS: Final = 100_000
"""Functions of Leveret that a page may call: a machine of today calls these in 20 ms."""


def crowd() -> list[ServerStats]:
    queues = {
        f"leveret.s{number // 10}.m{number}": QueueStats(
            method=f"s{number // 10}.m{number}",
            finished=5,
            failed=0,
            running=1,
            concurrency=10,
            handled={"OK": 4, "INTERNAL": 1},
            handler=TIMES,
            queue=TIMES,
            callers={"web": CallerStats(handled=5)},
        )
        for number in range(METHODS)
    }
    services = [f"s{number}" for number in range(METHODS // 10)]
    return [
        ServerStats(instance=f"{number:08x}", services=services, uptime=99.0, methods=queues)
        for number in range(SERVERS)
    ]


class Count:
    """Counts the functions of Leveret that run."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.calls += 1


@pytest.fixture(scope="module")
def view() -> object:
    return Board().take(crowd(), {}, now=1000.0)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/methods?sort=-p95&page=3",
        "/methods?q=m77",
        "/service/s7",
        "/failures",
        "/instance/00000007",
        "/map",
    ],
)
async def test_a_page_of_a_crowd_is_small_and_cheap(
    path: str, view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System("amqp://127.0.0.1:1/", interval=3600.0)
    monkeypatch.setattr(system, "start", lambda: None)
    monkeypatch.setattr(system, "contracts_of", _no_contracts)
    system.poller.view = view
    system.poller.turn = 1
    pages = Pages(
        version="1", allow_calls=False, has_log_in=False, poller=system.poller, quantile=quantile
    )
    transport = httpx.ASGITransport(Starlette(routes=routes(system, pages, Access())))
    count = Count()
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as visitor:
        await visitor.get(path)  # the templates are compiled
        page = await _counted(visitor, path, count)
    assert page.status_code == 200
    assert 1 <= page.text.count("<tr data-row=") <= 50 + SERVERS
    assert len(page.text) < 100_000
    assert 0 < count.calls < MOST_CALLS


async def _no_contracts(_service: str) -> list[object]:
    return []


async def _counted(
    visitor: httpx.AsyncClient, path: str, count: Callable[[FrameType, str, Any], None]
) -> httpx.Response:
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return await visitor.get(path)
    finally:
        sys.setprofile(before)
