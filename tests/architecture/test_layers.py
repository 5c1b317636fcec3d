"""The layers of the house, as `[tool.importlinter]` in pyproject.toml draws them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ("leveret.amqp", "leveret.codec", "leveret.errors")


def test_imports_point_down_only() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"a layer is broken; `make lint` shows it too:\n{done.stdout}"


@pytest.mark.parametrize("module", PURE)
def test_pure_layers_import_without_asyncio_or_sockets(module: str) -> None:
    # Imported by name, so that `leveret/__init__.py`, which needs all layers, is passed over.
    program = f"""
import importlib.machinery, importlib.util, sys, types
package = types.ModuleType("leveret")
package.__path__ = [{str(ROOT / "src" / "leveret")!r}]
sys.modules["leveret"] = package
before = set(sys.modules)
importlib.import_module({module!r})
print(*sorted({{"asyncio", "socket", "ssl", "selectors"}} & (set(sys.modules) - before)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", f"{module} pulls in {done.stdout.strip()}"
