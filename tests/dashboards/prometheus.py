"""A Prometheus of the tests' own: Debian's, with a port and a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from leveret.testing.rabbitmq.ports import free_ports
from tests.behaviour.patience import until_found
from tests.programs import PROMETHEUS

_CONFIG: Final = """
global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: leveret
    static_configs: [{{targets: [{targets}]}}]
"""


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str, **parameters: str) -> Any:
        """What its API says; None where it does not answer."""
        return await asyncio.to_thread(self._get, f"{self._url}{path}?{urlencode(parameters)}")

    def _get(self, url: str) -> Any:
        try:
            with urlopen(url) as answer:
                return json.load(answer)["data"]
        except URLError as error:
            body = error.read().decode() if hasattr(error, "read") else ""
            return None if not body else {"error": body}

    async def query(self, expression: str) -> list[Any]:
        """The samples that it has of an expression now."""
        found = await self.get("/api/v1/query", query=expression)
        assert found is not None
        assert "result" in found, f"{expression}: {found}"
        return list(found["result"])


@asynccontextmanager
async def running(folder: Path, rules: Path, targets: Iterable[str]) -> AsyncIterator[Prometheus]:
    """Run one that scrapes these, as "host:port"."""
    (port,) = free_ports(1)
    config = folder / "prometheus.yml"
    quoted = ", ".join(f"'{target}'" for target in targets)
    config.write_text(_CONFIG.format(rules=rules, targets=quoted))
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS.find_or_install(),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        env=os.environ | {"GOMAXPROCS": "1"},
    )
    try:
        prometheus = Prometheus(port)

        async def is_up() -> bool:
            found = await prometheus.get("/api/v1/status/runtimeinfo")
            return found is not None and "error" not in found  # as while it starts

        await until_found(is_up, True, "Prometheus answers")
        yield prometheus
    finally:
        process.kill()
        await process.wait()
