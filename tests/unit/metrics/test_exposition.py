"""Metrics in the format that a client takes."""

from __future__ import annotations

import pytest

from leveret.metrics.exposition import exposition_of_process, exposition_of_snapshot
from leveret.observe import Snapshot

OPEN_METRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"


def test_the_client_chooses_the_format() -> None:
    snapshot = Snapshot()
    text, content_type = exposition_of_snapshot(snapshot, "")
    assert content_type.startswith("text/plain")
    assert b"leveret_build_info{" in text
    text, content_type = exposition_of_snapshot(snapshot, OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


@pytest.mark.parametrize("round_", [1, 2])
def test_those_of_a_process_have_what_its_program_counts_as_well(round_: int) -> None:
    text, _ = exposition_of_process("")
    assert b"leveret_client_reconnects_total" in text
    assert b"python_info" in text
