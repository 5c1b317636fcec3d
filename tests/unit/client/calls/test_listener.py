"""A caller's function is called in order, in the caller's context, and not after the end."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from leveret.client.calls.listener import Listener, OnProgress
from leveret.contract import Progress

seen_by: ContextVar[str] = ContextVar("seen_by")

A, B = Progress(text="a"), Progress(text="b")


def listener(on_progress: OnProgress) -> Listener:
    return Listener(on_progress, asyncio.get_running_loop(), "reports.write")


async def test_reports_come_in_order_and_in_the_callers_context() -> None:
    heard: list[tuple[Progress, str]] = []
    seen_by.set("the caller")
    told = listener(lambda progress: heard.append((progress, seen_by.get())))
    seen_by.set("somebody else")
    told.heard(A)
    told.heard(B)
    assert heard == []  # it is not called inside of what reads the socket
    await asyncio.sleep(0)
    assert heard == [(A, "the caller"), (B, "the caller")]


async def test_nobody_is_told_after_the_end() -> None:
    heard: list[Progress] = []
    told = listener(heard.append)
    told.heard(A)
    told.stop()
    told.heard(B)
    await asyncio.sleep(0)
    assert heard == []


async def test_what_it_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fails(progress: Progress) -> None:
        raise ValueError(progress.text)

    told = listener(fails)
    told.heard(A)
    told.heard(B)
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == [
        "reports.write: on_progress failed"
    ] * 2
