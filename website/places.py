"""Where each document of the project stands in the site, and where the site has each link lead.

Documents link to each other as files of the repository, so that they can be read there. In the
site `docs/x.md` is `x.md`, and what stands elsewhere has a place here. A link to a file without one
is an error: on the site it would be dead.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

OUTSIDE: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
    "bench/README.md": "project/benchmark.md",
    "LICENSE": "project/LICENSE.txt",
    "examples/README.md": "examples/index.md",
}
"""Documents outside of docs/, by their paths; each is a page of the site."""

COPIED: Final = ("dashboards/",)
"""Folders whose files stand in the site as they are."""

EXAMPLES: Final = "examples/"
"""Each folder in it is one page, with all its files."""

_LINK: Final = re.compile(r"(\[)([^\[\]]*)(\]\()([^()\s]+)(\))|(<img src=)()(\")([^\"]+)(\")")
_FENCE: Final = re.compile(r"^( *```)", re.MULTILINE)
_FILE_NAME: Final = re.compile(r"(?:[\w.-]+/)*[\w-]+\.md")


class NoPlace(ValueError):
    """A document links to a file that the site does not have."""


def place(path: str) -> str:
    """Where a file or folder of the repository stands in the site, as a page, a file or a part.

    :raises NoPlace: it stands nowhere.
    """
    path = posixpath.normpath(path)
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if any(f"{path}/".startswith(folder) for folder in COPIED):
        return path
    if f"{path}/" == EXAMPLES:
        return "examples/index.md"
    if path.startswith(EXAMPLES):
        folder, _, inside = path.removeprefix(EXAMPLES).partition("/")
        page = f"examples/{folder}.md"
        is_part = inside and inside != "README.md" and (ROOT / path).is_file()
        return f"{page}#{anchor_of_file(inside)}" if is_part else page
    raise NoPlace(path)


def anchor_of_file(name: str) -> str:
    """The anchor of a file on the page of its example."""
    return "file-" + re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-").lower()


def for_site(text: str, source: str) -> str:
    """The text of a document, its links led to where their targets stand in the site.

    :param source: the document's path in the repository.
    :raises NoPlace: a link leads to a file that the site does not have.
    """
    page = place(source)

    def lead(found: re.Match[str]) -> str:
        opening, label, middle, target, closing = (g for g in found.groups() if g is not None)
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            return found[0]
        path, mark, anchor = target.partition("#")
        try:
            linked = place(posixpath.join(posixpath.dirname(source), path))
        except NoPlace as error:
            raise NoPlace(f"{source} links to {error}, which has no place in the site") from None
        linked, own_mark, own_anchor = linked.partition("#")
        relative = posixpath.relpath(linked, posixpath.dirname(page) or ".")
        if _FILE_NAME.fullmatch(label) and linked.endswith(".md"):
            label = _title(path, source) or label
        end = f"#{anchor}" if mark else own_mark + own_anchor
        return f"{opening}{label}{middle}{relative}{end}{closing}"

    return "".join(part if is_code else _LINK.sub(lead, part) for part, is_code in _parts(text))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a block of code."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            if not inside:
                yield "".join(lines), False
                lines = [line]
            else:
                yield "".join([*lines, line]), True
                lines = []
            inside = not inside
        else:
            lines.append(line)
    yield "".join(lines), inside


def _title(path: str, source: str) -> str:
    """The title of the document to which a document links by its file's name."""
    file = (ROOT / source).parent / path
    first = file.read_text().partition("\n")[0] if file.is_file() else ""
    return first.removeprefix("# ") if first.startswith("# ") else ""
