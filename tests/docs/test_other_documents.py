"""Links lead somewhere, and what docs/deploying.md tells an operator to do works."""

from __future__ import annotations

import asyncio
import inspect
import re
import tomllib
from pathlib import Path
from typing import get_overloads

import pytest

import leveret
from leveret.cli.commands.serve import serve
from leveret.cli.options import read_users
from leveret.testing import RabbitMQ
from tests.docs.error_services import Shop
from tests.docs.fences import ROOT, blocks, table
from tests.docs.shell import Line, Shell, lines

DEPLOYING = "docs/deploying.md"
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for glob in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(glob)
)


def anchors(path: Path) -> set[str]:
    """What can follow a # in a link to a document, by the rules of GitHub."""
    found = set()
    inside = False
    for line in path.read_text().splitlines():
        inside ^= line.startswith("```")
        if line.startswith("#") and not inside:
            heading = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{document} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(linked), f"{document}: there is no such heading: {target}"


def test_the_architecture_names_files_that_exist_and_all_that_a_call_goes_by() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", text))
    assert len(named) > 10
    missing = [name for name in named if not (ROOT / "src" / "leveret" / name).exists()]
    assert not missing, f"docs/architecture.md names files that are gone: {missing}"
    of_calls = {
        path.relative_to(ROOT / "src" / "leveret").as_posix()
        for folder in ("contract", "client", "server")
        for path in (ROOT / "src" / "leveret" / folder).rglob("[a-z]*.py")
    }
    assert of_calls <= named, f"docs/architecture.md leaves out {sorted(of_calls - named)}"
    house = blocks("docs/architecture.md", "text")[0].text.splitlines()[1:]
    for line in house:
        assert (ROOT / "src" / "leveret" / line.split()[0]).exists(), line


@pytest.mark.slow
async def test_the_operators_commands_give_just_the_rights_that_are_needed(
    own_rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    rights, declare = (lines(b.text) for b in blocks(DEPLOYING, "sh")[:2])
    for line in rights:
        assert line.program == "rabbitmqctl"
        await asyncio.to_thread(own_rabbitmq.ctl, *line.words[1:])
    shell = Shell(tmp_path, own_rabbitmq.url)
    host = f"localhost:{own_rabbitmq.port}/"
    (called,) = declare
    words = tuple(word.replace("localhost/", host) for word in called.words)
    await shell.check(Line(words=words, comment=called.comment))

    def url(user: str, secret: str) -> str:
        return f"amqp://{user}:{secret}@127.0.0.1:{own_rabbitmq.port}/shop"

    async with (
        leveret.connect(url("shop-server", "secret2")) as server,
        leveret.connect(url("shop-client", "secret3")) as client,
        server.serving(Shop()),
    ):
        assert await client.remote(Shop).buy("carrot", 1) == 2
        with pytest.raises(leveret.PermissionDenied):
            async with client.serving(Shop()):
                pass


def test_the_file_of_options_has_only_options_that_leveret_serve_has() -> None:
    (file,) = blocks(DEPLOYING, "toml")
    given = {key.replace("-", "_"): value for key, value in tomllib.loads(file.text).items()}
    assert given.keys() <= inspect.signature(serve).parameters.keys()
    assert read_users(given["allow"], "--allow") == {"shop.order": ("web-*",), "*": ("ops",)}


async def test_deleting_a_queue_is_how_its_options_change(own_rabbitmq: RabbitMQ) -> None:
    (delete,) = lines(blocks(DEPLOYING, "sh")[2].text)
    assert delete.words[:4] == ("rabbitmqctl", "delete_queue", "-p", "shop")
    await asyncio.to_thread(own_rabbitmq.add_vhost, "shop")
    async with leveret.connect(f"{own_rabbitmq.url}shop") as host:
        async with host.serving(Shop()):
            pass
        await asyncio.to_thread(own_rabbitmq.ctl, *delete.words[1:])
        with pytest.raises(leveret.Unimplemented):
            await host.remote(Shop).order("hay")


def test_the_queue_options_of_the_document_are_those_of_method() -> None:
    overloads = get_overloads(leveret.method)
    options = {name for one in overloads for name in inspect.signature(one).parameters}
    for cell, _ in table(DEPLOYING, "Queue options"):
        name = cell.strip("`").partition("=")[0]
        assert name in options, f"@method has no option {name}"
