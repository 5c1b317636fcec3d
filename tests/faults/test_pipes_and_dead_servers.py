"""Pipes whose stages' servers are killed and replaced while they run."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import leveret
from leveret import CallError, DeadlineExceeded, MaybeExecuted
from tests.faults.diary import Diary
from tests.faults.programs import Programs
from tests.faults.scene import SOON
from tests.faults.work import Stages

_PIPES = 1000
_AT_A_TIME = 100
_TIMEOUT = 120.0
"""Seconds; two servers start in the meantime, on a busy machine."""
_KEYED_TIMEOUT = 5.0
"""Seconds; a key that a dead server has claimed is waited for until the deadline."""


async def test_none_is_lost_and_none_with_keys_runs_twice(
    broker_url: str, diary: Diary, tmp_path: Path
) -> None:
    """Every fourth has keys: of those, one whose server died with its key says "maybe"."""
    store = f"sqlite:///{tmp_path / 'keys'}"
    outcomes: dict[str, object] = {}
    reached = {300: asyncio.Event(), 600: asyncio.Event()}
    numbers = iter(range(_PIPES))
    async with (
        Programs(broker_url, diary.path, store=store) as programs,
        leveret.connect(broker_url, reconnect=SOON) as rabbit,
    ):
        await programs.start(2)
        stages = rabbit.remote(Stages)
        plain = rabbit.with_options(timeout=_TIMEOUT, wait_for_server=True).pipe(
            stages.one, stages.two, stages.three
        )
        keyed = rabbit.with_options(timeout=_KEYED_TIMEOUT, wait_for_server=True).pipe(
            stages.one_once, stages.two_once, stages.three_once
        )

        async def call() -> None:
            for number in numbers:
                key = f"{number}.{'plain' if number % 4 else 'keyed'}"
                try:
                    outcomes[key] = await (plain if number % 4 else keyed)(key)
                except (MaybeExecuted, DeadlineExceeded) as error:
                    outcomes[key] = error
                if len(outcomes) in reached:
                    reached[len(outcomes)].set()

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_A_TIME):
                group.create_task(call())
            for some_have_ended in reached.values():
                await some_have_ended.wait()
                await programs.kill(programs.running[0])
                await programs.start()
    assert len(outcomes) == _PIPES
    lost = {key for key, outcome in outcomes.items() if outcome != key}
    assert all(key.endswith("keyed") for key in lost), {key: outcomes[key] for key in lost}
    ran = Counter({key: len(entry.began) for key, entry in diary.read().items()})
    assert {key for key, times in ran.items() if times > 1 and "keyed" in key} == set()
    for key, outcome in outcomes.items():
        if not isinstance(outcome, CallError):
            assert ran[f"{key}.three"], key
        elif outcome.executed == "no":
            assert not ran[f"{key}.one"], f"{key}: {outcome}"
