"""The dashboard has nothing that Grafana's own model of dashboards does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

DASHBOARD: Final = Path(__file__).parents[2] / "dashboards" / "leveret.json"
BESIDE: Final = {"__inputs", "__elements", "__requires", "id", "definition"}
"""What Grafana writes into a file of a dashboard beside the model: what an import asks for and
checks, a number that is of no use elsewhere, and the query of a variable once more, as text."""


def read_and_written(dashboard: dict[str, Any]) -> Any:
    """A dashboard as Grafana's model has it: what it does not know is gone."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Where two documents differ, but for what the second one has more."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name in given.keys() - BESIDE:
            if name in kept:
                yield from lost(given[name], kept[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif given != kept:
        yield path


def test_grafana_knows_all_that_the_dashboard_says() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert list(lost(dashboard, read_and_written(dashboard))) == []


def test_what_grafana_does_not_know_is_found() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panel = next(panel for panel in dashboard["panels"] if panel.get("targets"))
    panel["tarfets"] = panel["targets"]
    panel["targets"][0]["exprr"] = "up"
    found = list(lost(dashboard, read_and_written(dashboard)))
    assert {place.rpartition(".")[2] for place in found} == {"tarfets", "exprr"}
