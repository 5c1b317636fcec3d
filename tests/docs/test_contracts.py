"""What docs/contracts.md has a reader type works, also in CI."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import leveret
from leveret.cli.app import app
from tests.docs.error_services import Shop
from tests.docs.fences import ROOT, blocks
from tests.docs.shell import Line, lines

DOCUMENT = "docs/contracts.md"
MODULE = Shop.__module__


def run(line: Line) -> str:
    """Run a line in this process, with the shop of the documents; returns what it prints."""
    words = [word.replace("shop:Shop", f"{MODULE}:Shop") for word in line.words[1:]]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, f"{line}: {ended.output}"
    return ended.stdout


async def test_the_commands_of_the_document_work(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    first, for_release = blocks(DOCUMENT, "sh")[:2]
    async with leveret.connect(rabbitmq_url) as rabbit, rabbit.serving(Shop()):
        said = [await asyncio.to_thread(run, line) for line in lines(first.text)]
        (release, *_) = lines(for_release.text)
        (words, file) = release.words[:-2], release.words[-1]
        assert release.words[-2] == ">"
        contract = await asyncio.to_thread(run, Line(words=words, comment=""))
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(contract)
        workflow = blocks(DOCUMENT, "yaml")[0].text
        in_ci = re.search(r"- run: (leveret diff .+)", workflow)
        assert in_ci is not None
        checked = await asyncio.to_thread(run, lines(in_ci[1])[0])
        assert checked == "no difference\n"
        (deploy,) = lines(blocks(DOCUMENT, "sh")[2].text)
        assert deploy.words[-2:] == ("&&", "./deploy")
        before = Line(words=deploy.words[:-2], comment="")
        assert await asyncio.to_thread(run, before) == "no difference\n"
    assert said[0].startswith("shop\n")
    assert said[1].startswith("shop.order\n")
    assert (tmp_path / "shop.html").exists()
    assert (tmp_path / "services.json").exists()
    assert said[5] == "no difference\n"


def test_the_document_tells_of_all_that_asyncapi_gets_as_an_extension() -> None:
    source = (ROOT / "src/leveret/asyncapi/document.py").read_text()
    told = re.findall(r"^_(?:TOLD|ALSO): Final = \(([^)]+)\)", source, re.MULTILINE)
    text = (ROOT / DOCUMENT).read_text()
    for name in re.findall(r'"(\w+)"', "".join(told)):
        assert f"`{name}`" in text, name
