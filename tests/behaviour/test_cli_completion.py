"""Completion of what is live, by the script that a shell reads, and brokers by name."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from tests.behaviour.cli_commands import Command, Commands
from tests.behaviour.cli_service import Desk


@pytest.fixture
async def commands(
    tmp_path: Path, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Commands]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


@pytest.mark.embedded_only
async def test_what_is_live_completes_and_failures_are_silent(commands: Commands) -> None:
    async def completed(*words: str, url: str | None = None) -> list[str]:
        command = await commands.run("complete", "--", *words, url=url)
        assert command.lines == []
        assert command.process.returncode == 0
        return command.text.splitlines()

    assert await completed("sc") == ["schema"]
    assert await completed("call", "desk.", url="amqp://localhost:1/") == []
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        for _ in range(60):  # a busy machine may need longer than a shell waits
            if found := await completed("call", "desk.f"):
                break
        assert found == ["desk.fail", "desk.fib"]


SHELLS = {
    "bash": """\
leveret() { "PYTHON" -m leveret "$@"; }
source <(leveret completion bash)
COMP_WORDS=(leveret schem) COMP_CWORD=1
_leveret
printf "%s\\n" "${COMPREPLY[@]}"
""",
    "zsh": """\
leveret() { "PYTHON" -m leveret "$@"; }
compdef() { : }
compadd() { print -rl -- "${(@P)2}"; }
source <(leveret completion zsh)
words=(leveret schem) CURRENT=2
_leveret
""",
    "fish": """\
function leveret; "PYTHON" -m leveret $argv; end
leveret completion fish | source
complete -C "leveret schem"
""",
}
"""What has each shell complete "leveret schem"."""
STARTED = {"bash": ("bash", "--norc"), "zsh": ("zsh", "-f"), "fish": ("fish", "--no-config")}


@pytest.mark.embedded_only
@pytest.mark.parametrize("shell", [name for name in SHELLS if shutil.which(name) is not None])
async def test_the_shells_of_this_machine_complete_by_the_script(
    commands: Commands, shell: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*STARTED[shell], "-c", SHELLS[shell].replace("PYTHON", sys.executable)),
        cwd=commands.folder,
        env=os.environ | {"LEVERET_URL": commands.url},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    command = Command(process)
    assert await command.ends() == 0
    assert command.text == "schema\n"


@pytest.mark.embedded_only
async def test_brokers_have_names(commands: Commands) -> None:
    secret = commands.url.replace("guest:guest", "guest:%67uest")

    async def context(*args: str, stdin: bytes = b"") -> Command:
        command = await commands.run("context", *args, stdin=stdin)
        assert command.process.returncode == 0, command.lines
        return command

    assert "no contexts" in (await context("ls")).error
    await context("add", "here", "-", "--use", stdin=f"{secret}\n".encode())
    await context("add", "there", "amqp://ann:secret@nowhere.invalid/")
    listed = await context("ls")
    assert [line.split()[:2] for line in listed.text.splitlines()[1:]] == [
        ["*", "here"],
        ["there", "amqp://ann@nowhere.invalid:5672/"],
    ]
    assert "%67uest" not in listed.text
    file = commands.folder / "config" / "leveret" / "contexts.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        named = await commands.run("ping", "desk", "--context", "here", url="amqp://localhost:1/")
        assert named.process.returncode == 0
    unknown = await commands.run("ping", "--context", "hree")
    assert unknown.process.returncode == 2
    assert "did you mean 'here'?" in " ".join(line.strip("│ ") for line in unknown.lines)
    await context("rm", "here")
    assert (await context("ls", "--json")).json == {
        "current": None,
        "contexts": {"there": "amqp://ann@nowhere.invalid:5672/"},
    }
