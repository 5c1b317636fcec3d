"""The pages of docs/moving/ show the examples, and their commands do what they say."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest

from tests.docs.fences import ROOT, blocks
from tests.moving.scenes import EXAMPLES, FOLDERS, Command, environment_of, play, program, scenes


def chosen(page: str, broker: str) -> list[list[Command]]:
    """All scenes on RabbitMQ; on the embedded broker that in which old and new meet."""
    every = scenes(page)
    return every if broker == "rabbitmq" else every[:2][-1:]


PEERS = [(page, folder) for page, folders in FOLDERS.items() for folder in folders]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "folder"), [it for it in PEERS if it[0] != "nameko"])
async def test_programs_of_before_and_after_print_what_the_page_says(
    page: str, folder: str, broker_kind: str, environment: dict[str, str]
) -> None:
    for scene in chosen(page, broker_kind):
        await play(scene, folder, environment)


@pytest.mark.slow
async def test_programs_of_nameko_and_after_print_what_the_page_says(
    broker_kind: str, environment: dict[str, str], nameko: Path
) -> None:
    quiet = {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(nameko)}
    for scene in chosen("nameko", broker_kind):
        await play(scene, "nameko", environment | quiet)


async def test_a_blocking_call_is_refused_where_eventlet_has_replaced_threads(
    nameko: Path, tmp_path: Path
) -> None:
    text = """
        import eventlet
        eventlet.monkey_patch()
        import leveret.blocking
        leveret.blocking.connect().call("shop.reserve")
    """
    (tmp_path / "green.py").write_text(textwrap.dedent(text))
    path = {"PYTHONPATH": str(nameko), "PYTHONWARNINGS": "ignore"}
    async with program(("python", str(tmp_path / "green.py")), "nameko", path) as green:
        assert await green.ends() == 1
    assert "RuntimeError: leveret.blocking needs threads of the operating system, and eventlet" in (
        green.output
    )


@pytest.mark.parametrize("page", FOLDERS)
def test_each_page_shows_the_code_of_the_examples(page: str) -> None:
    paths = [path for folder in FOLDERS[page] for path in (EXAMPLES / folder).glob("*.*")]
    files = [path.read_text() for path in paths]
    document = f"docs/moving/{page}.md"
    shown = [*blocks(document, "python"), *blocks(document, "proto")]
    assert len(shown) >= 2
    for block in shown:
        assert any(block.text in file for file in files), f"{block.name} is in no example"


def test_each_folder_of_examples_is_on_a_page_that_the_index_links_to() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {folder for of_page in FOLDERS.values() for folder in of_page}
    index = (ROOT / "docs" / "moving" / "index.md").read_text()
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", index)) == FOLDERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "command", "says"),
    [
        ("aio_pika_rpc", ("python", "before.py", "call"), "MessageProcessError"),
        ("faststream", ("python", "before.py", "call"), "TimeoutError"),
        ("celery", ("python", "before.py"), "celery.exceptions.TimeoutError"),
        ("nameko", ("python", "before.py", "call"), "nameko.exceptions.UnknownService"),
        ("grpc", ("python", "before.py", "call"), "StatusCode.UNAVAILABLE"),
        ("pika", ("python", "after.py", "call", "30"), "leveret.errors.Unimplemented"),
    ],
)
async def test_callers_hear_what_the_pages_say_where_no_server_ever_was(
    folder: str,
    command: tuple[str, ...],
    says: str,
    rabbitmq_url: str,
    tmp_path: Path,
    nameko: Path,
) -> None:
    environment = environment_of(rabbitmq_url, tmp_path)
    quiet = {"PYTHONWARNINGS": "ignore"}
    if folder == "nameko":
        quiet["PYTHONPATH"] = os.fspath(nameko)
    async with program(command, folder, environment | quiet) as client:
        assert await client.ends() == 1
    assert says in client.output
