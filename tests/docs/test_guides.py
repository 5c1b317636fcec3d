"""The pages that explain by snippets hold: each snippet runs, and gives what its comment says."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import pytest

import leveret
from leveret import LeveretError, Meta, Rabbit, RemoteError, Service, method
from tests.docs.error_services import Fibonacci, Shop
from tests.docs.fences import ROOT, Block, blocks, table
from tests.docs.pages import commands, failures, files, serves, snippets
from tests.docs.session import Session
from tests.docs.shell import Shell, lines

GUIDES = (
    *("README.md", "docs/calling.md", "docs/failures.md", "docs/kinds-of-calls.md"),
    *("docs/middleware.md", "docs/serving.md", "docs/testing.md", "docs/tutorial-protocol.md"),
    "docs/types.md",
)
"""Pages whose snippets run in order, in one namespace, beside a served `Fibonacci`."""

FAILURES = "docs/failures.md"
SERVING = "docs/serving.md"


class Reports(Service):
    @method(timeout=30)
    async def write(self, pages: Annotated[int, Meta(ge=1)]) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def modules(rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to import from, with README's service in it, and LEVERET_URL set."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    (tmp_path / "fibonacci.py").write_text(files()["fibonacci.py"])
    return tmp_path


@pytest.mark.parametrize("page", GUIDES)
async def test_the_snippets_run_in_their_order(
    page: str, rabbit: Rabbit, rabbitmq_url: str, modules: Path
) -> None:
    shown = snippets(page)
    assert shown
    async with AsyncExitStack() as stack:
        stack.callback(sys.modules.pop, "fibonacci", None)
        host = await stack.enter_async_context(leveret.connect(rabbitmq_url))
        store = f"sqlite:///{modules}/once.db"
        await stack.enter_async_context(host.serving(Fibonacci(), once=store))
        names = {"rabbit": rabbit, "Fibonacci": Fibonacci, "leveret": leveret}
        session = Session(modules, host, stack, **names)
        for block in shown:
            await session.run(block)


# -- the four questions ----------------------------------------------------------------------------


@pytest.mark.parametrize("pair", failures(FAILURES), ids=lambda pair: pair[0].name)
async def test_a_failure_has_the_message_that_the_page_shows(
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
    headings = [code.heading for code, _ in failures(FAILURES)]
    assert len(set(headings)) == 4
    assert all(heading.endswith("?") for heading in headings)


def test_the_table_of_errors_names_every_error_of_a_call() -> None:
    named = {
        name
        for cells in table(FAILURES, "When a call fails")
        for name in re.findall(r"`(\w+)`", cells[0])
    }
    public = {
        name
        for name in leveret.__all__
        if isinstance(kind := getattr(leveret, name), type) and issubclass(kind, leveret.CallError)
    }
    assert named == public - {"CallError", "DeclaredError"}


# -- servers ---------------------------------------------------------------------------------------


async def test_the_server_program_serves_methods_that_run_in_processes_as_well(
    shell: Shell, rabbit: Rabbit
) -> None:
    ((serve,),) = commands(SERVING, "A server as a command or as a program")
    (office,) = [block for block in snippets(SERVING) if "class Office(Service)" in block.text]
    (shell.folder / "office.py").write_text(office.text)
    text = files(SERVING)["server.py"]
    text = text.replace("import Fibonacci", "import Fibonacci\nfrom office import Office")
    (shell.folder / "server.py").write_text(text.replace("Fibonacci()", "Fibonacci(), Office()"))
    async with shell.running(*serve.words) as server:
        assert server.stderr is not None
        assert b"connected, at attempt 1" in await server.stderr.readline()
        assert b"serving fibonacci" in await server.stderr.readline()
        await serves(rabbit)
        assert await rabbit.call("office.slow_fib", n=10) == 55
        server.send_signal(signal.SIGINT)
        assert await server.wait() == 0


async def test_a_failure_of_an_inner_call_reaches_the_outer_caller_as_the_page_says(
    rabbit: Rabbit, rabbitmq_url: str, modules: Path
) -> None:
    (sums,) = [block for block in snippets(SERVING) if "class Sums(Service)" in block.text]
    async with AsyncExitStack() as stack:
        stack.callback(sys.modules.pop, "fibonacci", None)
        host = await stack.enter_async_context(leveret.connect(rabbitmq_url))
        async with host.serving(Fibonacci()):
            pass
        await Session(modules, host, stack).run(sums)
        with pytest.raises(RemoteError, match=r"^sums\.fibs: NoServer: fibonacci\.fib: "):
            await rabbit.call("sums.fibs", count=10)


# -- commands --------------------------------------------------------------------------------------


async def test_the_command_line_does_as_its_page_says(shell: Shell, rabbit: Rabbit) -> None:
    (serve,), (reload,), calls = commands("docs/command-line.md", "The command line")
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


async def test_the_private_broker_starts_and_prints_its_url(tmp_path: Path) -> None:
    _, (by_apt, by_docker, private), _ = commands("docs/install.md", "Installing")
    assert by_apt.words[-1] == "rabbitmq-server"
    assert by_docker.words[-1].startswith("rabbitmq:")
    async with Shell(tmp_path, "").running(*private.words) as process:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        async with leveret.connect(url):
            pass
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize("page", ["install", "speed"])
def test_every_target_of_make_exists(page: str) -> None:
    told = [line for block in blocks(f"docs/{page}.md", "sh") for line in lines(block.text)]
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = [line.words[1] for line in told if line.program == "make"]
    assert made
    assert set(made) <= set(targets)
