"""docs/monitoring.md: its commands run, and its tables have all that there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import prometheus_client
import pytest

from leveret.cli.commands.serve import serve
from leveret.metrics.families import families
from leveret.observe import Snapshot
from tests.docs.fences import ROOT, blocks
from tests.docs.shell import Shell, lines

DOCUMENT = "docs/monitoring.md"


def test_all_metrics_are_named_with_their_labels() -> None:
    snapshot = Snapshot()
    snapshot.served_of("desk.work")
    snapshot.called_of("desk.work")
    there_are: dict[str, set[str]] = {}
    for family in families(snapshot):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        there_are[name] = labels - {"service", "method"}
    assert there_are.pop("leveret_build") == {"version"}
    rows = re.findall(
        r"^\| `(leveret_\w+)` \| (.*?) \|", (ROOT / DOCUMENT).read_text(), re.MULTILINE
    )
    told = {name: set(re.findall(r"`(\w+)`", labels.partition(":")[0])) for name, labels in rows}
    assert told == there_are


def test_all_alerts_are_told_of() -> None:
    rules = (ROOT / "dashboards" / "alerts.yml").read_text()
    told = re.findall(r"^\| `(Leveret\w+)` \|", (ROOT / DOCUMENT).read_text(), re.MULTILINE)
    assert told == re.findall(r"- alert: (\w+)", rules)


def test_the_program_shows_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[int, str]] = []
    monkeypatch.setattr(
        prometheus_client,
        "start_http_server",
        lambda port, addr: started.append((port, addr)),
    )
    (block,) = blocks(DOCUMENT, "python")
    exec(compile(block.text, block.name, "exec"), {})
    assert started == [(9100, "127.0.0.1")]
    assert b"leveret_client_reconnects_total" in prometheus_client.generate_latest()


async def test_the_commands_show_metrics_and_health(rabbitmq_url: str, tmp_path: Path) -> None:
    services = (ROOT / "tests" / "docs" / "error_services.py").read_text()
    (tmp_path / "shop.py").write_text(services)
    words: list[str] = []
    for block in blocks(DOCUMENT, "sh"):
        for line in lines(block.text):
            if line.program == "leveret":
                assert line.words[:5] == ("leveret", "serve", "shop:Shop", "--workers", "4")
                words += line.words[5:]
    options = {word.removeprefix("--") for word in words if word.startswith("--")}
    assert options == {"metrics", "health"} <= inspect.signature(serve).parameters.keys()
    words = [re.sub(r":\d+$", ":0", word) for word in words]
    served = "leveret", "serve", "shop:Shop", "--workers", "2"
    async with Shell(tmp_path, rabbitmq_url).running(*served, *words) as server:
        assert server.stderr is not None
        told: set[str] = set()
        while told != {"/metrics", "/livez", "/readyz"}:
            said = await server.stderr.readline()
            assert said, f"it has ended, and told of {told}"
            told.update(re.findall(r"http://\S+:\d+(/\w+)", said.decode()))
