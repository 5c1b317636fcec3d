"""README.md holds: every snippet and every command in it is run, as a reader would."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import pytest

import leveret
from leveret import LeveretError, Meta, Rabbit, RemoteError, Service, method
from tests.docs.error_services import Fibonacci, Shop
from tests.docs.fences import ROOT, Block, blocks, table
from tests.docs.session import Session
from tests.docs.shell import Line, Shell, lines

README = "README.md"


class Reports(Service):
    @method(timeout=30)
    async def write(self, pages: Annotated[int, Meta(ge=1)]) -> None:
        await asyncio.Event().wait()


def files() -> dict[str, str]:
    """The files that README shows, by the names in their first lines."""
    found = {}
    for block in blocks(README, "python"):
        name = re.match(r"# (\w+\.py)\n", block.text)
        if name is not None:
            found[name[1]] = block.text
    return found


def snippets() -> list[Block]:
    """The Python blocks that are no files."""
    return [b for b in blocks(README, "python") if b.text not in files().values()]


def questions() -> list[tuple[Block, Block]]:
    """The blocks that raise, each with the message that follows it."""
    every = blocks(README)
    return [
        (code, message)
        for code, message in pairwise(every)
        if (code.language, message.language) == ("python", "text")
    ]


def commands(heading: str) -> list[list[Line]]:
    return [lines(block.text) for block in blocks(README, "sh") if block.heading == heading]


@pytest.fixture
def shell(rabbitmq_url: str, tmp_path: Path) -> Shell:
    """A folder with README's files in it."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    return Shell(tmp_path, rabbitmq_url)


@pytest.fixture
async def rabbit(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(rabbitmq_url) as connected:
        yield connected


async def serves(rabbit: Rabbit) -> None:
    """Return when the server of the example serves."""
    patient = rabbit.with_options(wait_for_server=True, timeout=40)
    assert await patient.call("fibonacci.fib", n=1) == 1


# -- the example -----------------------------------------------------------------------------------


def test_the_example_has_fifteen_lines() -> None:
    example = files()["fibonacci.py"] + files()["client.py"]
    code = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert len(code) == 15


async def test_the_example_runs_as_two_files_with_the_command_line(
    shell: Shell, rabbit: Rabbit
) -> None:
    (serve,), calls, _ = commands("Fifteen lines")
    assert str(serve) == "leveret serve fibonacci:Fibonacci"
    async with shell.running(*serve.words) as server:
        await serves(rabbit)
        for line in calls:
            await shell.check(line)
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0


async def test_the_example_runs_with_a_server_program(shell: Shell, rabbit: Rabbit) -> None:
    _, calls, (serve,) = commands("Fifteen lines")
    assert str(serve) == "python server.py"
    async with shell.running(*serve.words) as server:
        await serves(rabbit)
        for line in calls:
            await shell.check(line)
        server.send_signal(signal.SIGINT)
        assert await server.wait() == 0


async def test_the_server_program_serves_methods_that_run_in_processes_as_well(
    shell: Shell, rabbit: Rabbit
) -> None:
    (office,) = [block for block in snippets() if "class Office(Service)" in block.text]
    (shell.folder / "office.py").write_text(office.text)
    program = shell.folder / "server.py"
    text = program.read_text().replace("fibonacci import Fibonacci", "office import Office")
    program.write_text(text.replace("Fibonacci()", "Office()"))
    async with shell.running("python", "server.py") as server:
        assert server.stderr is not None
        assert b"connected, at attempt 1" in await server.stderr.readline()
        assert b"serving office" in await server.stderr.readline()
        assert await rabbit.call("office.slow_fib", n=10) == 55
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0


# -- the four questions ----------------------------------------------------------------------------


@pytest.mark.parametrize("pair", questions(), ids=lambda pair: pair[0].name)
async def test_a_failure_has_the_message_that_readme_shows(
    pair: tuple[Block, Block], rabbit: Rabbit, rabbitmq_url: str, tmp_path: Path
) -> None:
    code, message = pair
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(leveret.connect(rabbitmq_url))
        served = host.serving(Fibonacci(), Shop(), Reports())
        if code.heading == "What if no server is running?":
            async with served:
                pass
        else:
            await stack.enter_async_context(served)
        names = {"Fibonacci": Fibonacci, "Shop": Shop, "Reports": Reports}
        with pytest.raises(LeveretError) as caught:
            await Session(tmp_path, host, stack, rabbit=rabbit, **names).run(code)
    told = re.sub(r"\(call [\w-]{16}\)", "(call 4mJ0cVq3uTgA1rXk)", str(caught.value))
    assert f"{caught.type.__name__}: {told}\n" == message.text


def test_each_of_the_four_questions_shows_a_failure() -> None:
    headings = [code.heading for code, _ in questions()]
    assert len(set(headings)) == 4
    assert all(heading.endswith("?") for heading in headings)


# -- the features ----------------------------------------------------------------------------------


async def test_the_snippets_run_in_their_order(
    rabbit: Rabbit, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    (tmp_path / "fibonacci.py").write_text(files()["fibonacci.py"])
    failing = {code.name for code, _ in questions()}
    async with AsyncExitStack() as stack:
        stack.callback(sys.modules.pop, "fibonacci", None)
        host = await stack.enter_async_context(leveret.connect(rabbitmq_url))
        store = f"sqlite:///{tmp_path}/once.db"
        await stack.enter_async_context(host.serving(Fibonacci(), once=store))
        session = Session(
            tmp_path, host, stack, rabbit=rabbit, Fibonacci=Fibonacci, leveret=leveret
        )
        for block in snippets():
            if block.name not in failing:
                await session.run(block)


async def test_the_command_line_does_as_readme_says(shell: Shell, rabbit: Rabbit) -> None:
    (serve,), (reload,), calls = commands("Command line")
    async with shell.running(*serve.words) as server:
        await serves(rabbit)
        for line in calls:
            await shell.check(line)
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
    async with shell.running(*reload.words) as server:
        await serves(rabbit)
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0


async def test_a_failure_of_an_inner_call_reaches_the_outer_caller_as_readme_says(
    rabbit: Rabbit, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    (tmp_path / "fibonacci.py").write_text(files()["fibonacci.py"])
    (sums,) = [block for block in snippets() if "class Sums(Service)" in block.text]
    async with AsyncExitStack() as stack:
        stack.callback(sys.modules.pop, "fibonacci", None)
        host = await stack.enter_async_context(leveret.connect(rabbitmq_url))
        async with host.serving(Fibonacci()):
            pass
        await Session(tmp_path, host, stack).run(sums)
        with pytest.raises(RemoteError, match=r"^sums\.fibs: NoServer: fibonacci\.fib: "):
            await rabbit.call("sums.fibs", count=10)


# -- the rest --------------------------------------------------------------------------------------


async def test_the_private_broker_starts_and_prints_its_url(tmp_path: Path) -> None:
    by_apt, by_docker, private = commands("Install")[1]
    assert by_apt.words[-1] == "rabbitmq-server"
    assert by_docker.words[-1].startswith("rabbitmq:")
    async with Shell(tmp_path, "").running(*private.words) as process:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        async with leveret.connect(url):
            pass
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def test_what_pip_is_told_to_install_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ((install,),) = [commands("Install")[0]]
    assert install.words[:2] == ("pip", "install")
    found = re.fullmatch(r"\.\[(\w+)\]", install.words[2])
    assert found is not None
    assert found[1] in project["optional-dependencies"]
    assert project["readme"] == README
    assert f"{sys.version_info.major}.{sys.version_info.minor}" >= project["requires-python"][2:]


TOLD = [line for block in blocks(README, "sh") for line in lines(block.text)]


@pytest.mark.parametrize(
    "line",
    [line for line in TOLD if line.program == "make"],
    ids=str,
)
async def test_every_target_of_make_exists(line: Line, shell: Shell) -> None:
    ended = await shell.run("make", "--directory", str(ROOT), "--dry-run", *line.words[1:])
    assert ended.code == 0, ended.errors


def test_every_command_of_readme_is_run_by_a_test() -> None:
    assert {line.program for line in TOLD} == {"leveret", "python", "pip", "sudo", "docker", "make"}


def test_the_table_of_errors_names_every_error_of_a_call() -> None:
    named = {
        name
        for cells in table(README, "When a call fails")
        for name in re.findall(r"`(\w+)`", cells[0])
    }
    public = {
        name
        for name in leveret.__all__
        if isinstance(kind := getattr(leveret, name), type) and issubclass(kind, leveret.CallError)
    }
    assert named == public - {"CallError", "DeclaredError"}
