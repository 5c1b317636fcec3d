"""The benchmark of calls without asyncio: that it runs, not how fast anything is."""

from __future__ import annotations

import json

import pytest

from bench.blocking import PEERS, measure, show


@pytest.mark.embedded_only
async def test_calls_without_asyncio_are_measured_beside_pika_and_beside_awaited_ones(
    broker_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await measure(broker_url, threads=3, calls=30, rounds=1)

    assert set(found.rates) == set(PEERS)
    assert min(*found.rates.values(), found.blocking, found.awaited) > 0
    told = json.loads(json.dumps(found.as_json()))
    assert told["times"] == round(found.rates["leveret"] / found.rates["pika"], 2)
    show(found, 3)
    assert "3 threads" in capsys.readouterr().out
