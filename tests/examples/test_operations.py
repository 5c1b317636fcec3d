"""The recipes for systemd, Docker and Kubernetes: linters accept them, and what they run serves."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

import leveret
from leveret.testing import RabbitMQ
from tests.docs.fences import ROOT, blocks
from tests.docs.shell import Shell

UNIT: Final = ROOT / "examples" / "systemd" / "shop.service"
DOCKERFILE: Final = ROOT / "examples" / "docker" / "Dockerfile"
COMPOSE: Final = ROOT / "examples" / "docker" / "compose.yaml"
MANIFESTS: Final = ROOT / "examples" / "kubernetes" / "shop.yaml"
RUNNING: Final = "docs/running.md"
MARGIN: Final = 10
"""Seconds beyond the grace that a stop may take, as docs/running.md says."""


def of_unit(key: str) -> list[str]:
    """The values of a key of the unit, as systemd reads them."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def instructions() -> dict[str, list[str]]:
    """What the last stage of the Dockerfile says, by instruction."""
    text = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines()[1:]:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest)
    return found


def environment() -> dict[str, str]:
    """The variables of the image."""
    (line,) = instructions()["ENV"]
    return dict(word.split("=", 1) for word in shlex.split(line))


def resources() -> dict[str, dict[str, Any]]:
    """The manifests, by kind."""
    return {it["kind"]: it for it in yaml.safe_load_all(MANIFESTS.read_text())}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = resources()["Deployment"]["spec"]["template"]["spec"]
    return spec


# -- systemd ---------------------------------------------------------------------------------------


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert re.findall(r"^\[(\w+)\]$", text, re.MULTILINE) == ["Unit", "Service", "Install"]
    (command,) = of_unit("ExecStart")
    program = shlex.split(command)[0]
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    # It looks for the program, which is not installed here at its place.
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(program, str(Path(sys.executable).with_name("leveret"))))
    said = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


async def test_the_command_of_the_unit_tells_systemd_that_it_serves_and_stops(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DOCKERFILE.with_name("shop.py"), tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", f"{of_unit('WatchdogSec')[0]}000000")
        (command,) = of_unit("ExecStart")
        async with Shell(tmp_path, rabbitmq_url).running(*shlex.split(command)) as server:
            hear = asyncio.get_running_loop().sock_recv
            assert await hear(manager, 100) == b"WATCHDOG=1"
            assert await hear(manager, 100) == b"READY=1"
            async with leveret.connect(rabbitmq_url) as rabbit:
                assert await rabbit.call("shop.order", sku="carrot") == 9
            server.send_signal(signal.SIGTERM)
            assert await hear(manager, 100) == b"STOPPING=1"
            assert await server.wait() == 0


async def test_the_variables_of_the_unit_name_user_and_password(
    rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = dict(word.split("=", 1) for line in of_unit("Environment") for word in line.split())
    (tmp_path / "rabbitmq").write_text("not-the-password\n")
    for name in ("LEVERET_USERNAME", "LEVERET_PASSWORD_FILE"):
        monkeypatch.setenv(name, variables[name].replace("%d", str(tmp_path)))
    host = variables["LEVERET_URL"].replace("localhost", f"127.0.0.1:{rabbitmq.port}")
    with pytest.raises(leveret.Unauthenticated, match="shop-server"):
        await leveret.connect(host)


# -- Docker ----------------------------------------------------------------------------------------


def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    said = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_compose_file_is_one_and_uses_what_it_defines() -> None:
    compose = PyCompose.from_yaml(COMPOSE.read_text())
    compose.validate()
    assert compose.service_names() == ["rabbitmq", "shop"]
    shop = compose.to_dict()["services"]["shop"]
    grace = float(environment()["LEVERET_SERVE_GRACE"])
    assert float(shop["stop_grace_period"].removesuffix("s")) > grace + MARGIN
    assert shop["environment"]["LEVERET_PASSWORD_FILE"] == f"/run/secrets/{shop['secrets'][0]}"
    assert shop["depends_on"]["rabbitmq"]["condition"] == "service_healthy"


def test_compose_notices_a_secret_that_is_not_defined() -> None:
    text = COMPOSE.read_text().replace("- rabbitmq_password", "- other_password")
    with pytest.raises(ValueError, match="other_password"):
        PyCompose.from_yaml(text).validate()


async def test_the_image_serves_answers_its_health_check_and_the_probes_and_stops(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DOCKERFILE.with_name("shop.py"), tmp_path)
    for name, value in environment().items():
        if name.startswith("LEVERET_"):
            monkeypatch.setenv(name, value.replace("0.0.0.0:8080", "127.0.0.1:0"))
    said = instructions()
    shell = Shell(tmp_path, rabbitmq_url)
    async with shell.running(*json.loads(said["CMD"][0])) as server:
        assert server.stderr is not None
        told = ""
        while "serving shop" not in told or "/readyz" not in told:
            line = await server.stderr.readline()
            assert line, f"it has ended; it said:\n{told}"
            told += json.loads(line)["message"] + "\n"
        (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)/(?:livez|readyz)", told))
        check = said["HEALTHCHECK"][0].partition("CMD ")[2].replace("8080", port)
        assert (await shell.run(*json.loads(check))).code == 0
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            container = pod()["containers"][0]
            for probe in ("livenessProbe", "readinessProbe"):
                path = container[probe]["httpGet"]["path"]
                assert (await http.get(path)).status_code == 200
            scraped = (await http.get("/metrics")).text
        assert "leveret_server_started_total" in scraped
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
    assert (await shell.run(*json.loads(check))).code != 0


# -- Kubernetes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_the_manifests_are_what_kubernetes_takes(version: str) -> None:
    for resource in resources().values():
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_linter_notices_a_field_that_kubernetes_does_not_know() -> None:
    deployment = resources()["Deployment"]
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_a_pod_has_more_time_to_end_than_a_drain_takes() -> None:
    variables = {it["name"]: it.get("value") for it in pod()["containers"][0]["env"]}
    assert variables.keys() >= {"LEVERET_URL", "LEVERET_SERVE_GRACE"}
    assert pod()["terminationGracePeriodSeconds"] > float(variables["LEVERET_SERVE_GRACE"]) + MARGIN


def test_the_manifests_fit_each_other_and_the_image() -> None:
    by_kind = resources()
    deployment = by_kind["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    container = pod()["containers"][0]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    scaled = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    (secret,) = [
        it["valueFrom"]["secretKeyRef"] for it in container["env"] if it["name"] == "LEVERET_URL"
    ]
    assert secret["name"] == by_kind["Secret"]["metadata"]["name"]
    assert secret["key"] in by_kind["Secret"]["stringData"]
    (port,) = container["ports"]
    assert instructions()["EXPOSE"] == [str(port["containerPort"])]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
    assert pod()["securityContext"]["runAsNonRoot"]
    assert instructions()["USER"][0].partition(":")[0].isdecimal()


# -- docs/running.md -------------------------------------------------------------------------------


def shown() -> Iterator[tuple[str, str]]:
    """The parts of the examples that the page shows."""
    for language, path in (("ini", UNIT), ("dockerfile", DOCKERFILE), ("yaml", MANIFESTS)):
        yield blocks(RUNNING, language)[0].text, path.read_text()


def test_the_page_shows_what_the_examples_have() -> None:
    for part, whole in shown():
        assert part in whole, part


def test_the_times_of_the_page_are_those_of_the_examples() -> None:
    examples = UNIT.read_text() + DOCKERFILE.read_text() + COMPOSE.read_text()
    text = (ROOT / RUNNING).read_text()
    rows = re.findall(
        r"^\| (systemd|Docker Compose|Kubernetes) \| `(.+?)` \| `(.+?)` \|$", text, re.MULTILINE
    )
    for _, grace, stop in rows[:2]:
        assert grace in examples
        assert stop in examples
    assert rows[2][2] in MANIFESTS.read_text()
    name, _, seconds = rows[2][1].partition("=")
    assert {"name": name, "value": seconds} in pod()["containers"][0]["env"]


def test_the_scaler_of_the_page_looks_at_a_queue_that_is_served() -> None:
    (scaler,) = [yaml.safe_load(it.text) for it in blocks(RUNNING, "yaml")[1:]]
    metadata = scaler["spec"]["triggers"][0]["metadata"]
    assert metadata["queueName"] == "leveret.shop.order"
    assert metadata["hostFromEnv"] in {it["name"] for it in pod()["containers"][0]["env"]}
    assert scaler["spec"]["scaleTargetRef"]["name"] == resources()["Deployment"]["metadata"]["name"]
