"""The dashboard and the alerts: a real Prometheus scrapes real servers, and evaluates all of it."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import prometheus_client
import pytest

import leveret
from leveret.metrics import register
from leveret.observe.process import PROCESS
from tests.behaviour.cli_commands import Commands
from tests.behaviour.patience import until_found
from tests.dashboards.prometheus import Prometheus, running
from tests.programs import PROMTOOL

ROOT: Final = Path(__file__).parents[2]
ALERTS: Final = ROOT / "dashboards" / "alerts.yml"
DASHBOARD: Final[dict[str, Any]] = json.loads((ROOT / "dashboards" / "leveret.json").read_text())
SIDES: Final = ("server", "client")
OF_FIB: Final = 'sum(leveret_{}_handled_total{{service="desk",method="fib",code="OK"}})'
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions(title: str = "") -> Iterator[str]:
    """The expressions of the panels with this title, or of all, as Grafana fills them."""
    for panel in PANELS:
        if title not in {"", panel["title"]}:
            continue
        for target in panel["targets"]:
            filled = re.sub(r"\$(service|method|instance)", ".*", target["expr"])
            yield filled.replace("$__rate_interval", "1m")


def alerts() -> Iterator[str]:
    """The expressions of all alerts, without the bounds."""
    for found in re.finditer(r"expr: \|\n(.*?)\n        for:", ALERTS.read_text(), re.DOTALL):
        whole, _ = re.subn(r"\s*(>=|>) [\d.]+\s*$", "", found[1])
        yield whole


def names(text: str) -> set[str]:
    """The metrics that expressions name."""
    return set(re.findall(r"leveret_\w+", text)) - {"leveret_"}


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"] == "leveret-overview"
    assert [given["name"] for given in DASHBOARD["__inputs"]] == ["DS_PROMETHEUS"]
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == [
        "service",
        "method",
        "instance",
    ]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
        for target in panel["targets"]:
            if "rate(" in target["expr"]:
                assert "[$__rate_interval]" in target["expr"]
            assert target["legendFormat"]


@pytest.fixture
async def commands(tmp_path: Path, broker_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, broker_url) as commands:
        yield commands


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(
            [PROMTOOL.find_or_install(), *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


async def sample(prometheus: Prometheus, expression: str) -> float:
    """The value of an expression that has one sample; NaN where it has none."""
    found = await prometheus.query(expression)
    return float(found[0]["value"][1]) if len(found) == 1 else math.nan


async def scraped(prometheus: Prometheus, name: str, wanted: float) -> None:
    """Wait until Prometheus has seen this value."""
    await until_found(lambda: sample(prometheus, name), wanted, f"{name} is {wanted}", 60.0)


@pytest.mark.embedded_only
@pytest.mark.slow
async def test_each_expression_has_samples_where_servers_and_clients_run(
    commands: Commands, tmp_path: Path
) -> None:
    server, _ = await commands.serve_with_workers("cli_service:Desk", "--metrics", ":0")
    at = (await server.says(r"http://(\S+)/metrics"))[0][1]
    # What thousands of other tests have left in this process takes longer than a scrape may.
    PROCESS.forget()
    registry = prometheus_client.CollectorRegistry()
    register(registry)
    own, thread = prometheus_client.start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        async with (
            leveret.connect(commands.url) as rabbit,
            running(tmp_path, ALERTS, (at, f"127.0.0.1:{own.server_port}")) as prometheus,
        ):
            await rabbit.call("desk.fib", n=3)
            for side in SIDES:
                await scraped(prometheus, OF_FIB.format(side), 1)
            for _ in range(9):
                await rabbit.call("desk.fib", n=3)
            for side in SIDES:  # so there are two samples of each, for `rate`
                await scraped(prometheus, OF_FIB.format(side), 10)

            stored = set(await prometheus.get("/api/v1/label/__name__/values"))
            for expression in (*expressions(), *alerts()):
                assert names(expression) <= stored
                found = await prometheus.query(expression)
                assert found, f"no sample of {expression}"
            assert len([*alerts()]) == 5

            rate = [*expressions("Rate")]
            assert len(rate) == 2
            for one in rate:
                (fib,) = [
                    found
                    for found in await prometheus.query(one)
                    if found["metric"] == {"service": "desk", "method": "fib"}
                ]
                assert float(fib["value"][1]) > 0

            async def health() -> list[str]:
                (group,) = (await prometheus.get("/api/v1/rules"))["groups"]
                return [rule["health"] for rule in group["rules"]]

            await until_found(health, ["ok"] * 5, "all alerts are evaluated")
    finally:
        own.shutdown()
        await asyncio.to_thread(thread.join)
        own.server_close()
