"""Gathers the sources of the site in a folder: documents, examples, the reference, and llms.txt."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from website import examples, llms, reference
from website.places import COPIED, OUTSIDE, ROOT, for_site


class NotInNav(ValueError):
    """The pages and the navigation of mkdocs.yml are not the same."""


def public_names() -> dict[str, tuple[str, ...]]:
    """The public names of each public module."""
    return {module: _all_of(module) for module in ("leveret", *reference.MODULES)}


def _all_of(module: str) -> tuple[str, ...]:
    """What `__all__` of a module is; it is read, as to import it may need what is not installed."""
    path = ROOT / "src" / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for statement in ast.parse(source.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(statement.value)
            return tuple(names)
    raise ValueError(f"{module} has no __all__")


def gather(folder: Path) -> None:
    """Write the sources of the site into a folder, which is made anew.

    :raises NotInNav: a page is not in the navigation, or one in it is not there.
    :raises NoPlace: a document links to a file that the site does not have.
    """
    found = pages()
    nav = read_nav()
    if missing := sorted(found.keys() - set(nav)):
        raise NotInNav(f"mkdocs.yml has no line in its nav for {', '.join(missing)}")
    if gone := sorted(set(nav) - found.keys()):
        raise NotInNav(f"the nav of mkdocs.yml has pages that are not there: {', '.join(gone)}")
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in found.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for name, text in llms.files({path: found[path] for path in nav}).items():
        (folder / name).write_text(text)
    for source in ("docs/images", "docs/assets", *COPIED):
        shutil.copytree(ROOT / source, folder / source.removeprefix("docs/"))
    shutil.copyfile(ROOT / "LICENSE", folder / OUTSIDE["LICENSE"])


def pages() -> dict[str, str]:
    """The texts of all pages, by their paths in the site."""
    documents = {
        path.relative_to(ROOT).as_posix(): path for path in (ROOT / "docs").rglob("*.md")
    } | {name: ROOT / name for name in OUTSIDE if name.endswith(".md")}
    found = {}
    for source, path in documents.items():
        target = OUTSIDE.get(source, source.removeprefix("docs/"))
        found[target] = for_site(path.read_text(), source)
    return found | examples.pages() | reference.pages(public_names())


def read_nav() -> list[str]:
    """The pages in the navigation of mkdocs.yml, in their order."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].partition("\n\n")[0]
    return re.findall(r"^ +- (?:[^:#]+: )?(\S+\.md)$", nav, re.MULTILINE)
