"""The benchmark of counting: that it counts in one round and not in the other."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from bench.counting import measure, show


@pytest.mark.embedded_only
async def test_the_same_calls_are_measured_counted_and_not_counted(
    broker_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await measure(broker_url, pairs=1, calls=30)

    assert found.counted == 2 * 30  # of the round before the pair, and of the pair
    assert min(found.per_second, found.per_second_uncounted) > 0
    assert min(found.microseconds, found.microseconds_uncounted) > 0
    assert json.loads(json.dumps(asdict(found)))["more"] == found.more
    show(found)
    assert "not counted" in capsys.readouterr().out
