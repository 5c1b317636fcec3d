"""What the README of an example says to type, so that the tests run just that."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tests.docs.fences import ROOT, blocks
from tests.docs.shell import Line, lines


def commands(folder: Path) -> list[Line]:
    """All commands of its blocks of sh; each web server takes a free port instead of 8000."""
    readme = str((folder / "README.md").relative_to(ROOT))
    text = "".join(block.text for block in blocks(readme, "sh"))
    return lines(text.replace("--bind 127.0.0.1:8000", "--bind 127.0.0.1:0"))


def command(folder: Path, begin: str) -> tuple[str, ...]:
    """The words of the one command that begins so, without `python`."""
    (found,) = [one.words for one in commands(folder) if str(one).startswith(begin)]
    return found[1:] if found[0] == "python" else found


def requests(folder: Path) -> list[tuple[str, str]]:
    """What its `curl` asks a web server for, and the answer as it is told."""
    asked = [one for one in commands(folder) if one.program == "curl"]
    return [(urlsplit(one.words[1]).path, one.comment) for one in asked]
