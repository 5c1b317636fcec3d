"""Checks of the built site: it asks nobody else for anything, and all its links lead somewhere.

The builder checks links between Markdown pages. This looks at what came out, where also templates,
docstrings and raw HTML have put theirs.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

LOADS: Final = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"),
}
"""Attributes by which an element has the browser load something."""

LINKS_THAT_LOAD: Final = {
    *("stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"),
    *("manifest", "apple-touch-icon"),
}
"""Kinds of `<link>` that have the browser ask for their target."""

_IN_STYLE: Final = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)")


class Page(HTMLParser):
    """What one page of the site has, loads and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)
        self.loaded += _IN_STYLE.findall(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element has to do with other files."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given and tag != "meta"}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and LINKS_THAT_LOAD & set(given.get("rel", "").lower().split()):
            self.loaded.append(given.get("href", ""))
        self.loaded += [given[name] for name in LOADS.get(tag, ()) if name in given]


def problems(folder: Path) -> list[str]:
    """What is wrong with the site in a folder, one line each."""
    folder = folder.resolve()
    pages = {
        path.relative_to(folder).as_posix(): Page(path.read_text())
        for path in sorted(folder.rglob("*.html"))
    }
    found = []
    for name, page in pages.items():
        found += [f"{name} loads {target}" for target in page.loaded if _is_outside(target)]
        here = folder / name
        for target in {*page.links, *page.loaded}:
            if not urlsplit(target).scheme and not target.startswith("//"):
                found += _dead(name, target, here, folder, pages)
    for style in sorted(folder.rglob("*.css")):
        for target in _IN_STYLE.findall(style.read_text()):
            found.append(f"{style.relative_to(folder)} loads {target}")
    return found


def _is_outside(target: str) -> bool:
    return target.startswith("//") or urlsplit(target).scheme in {"http", "https"}


def _dead(name: str, target: str, here: Path, folder: Path, pages: dict[str, Page]) -> list[str]:
    if name == "404.html":
        return []  # its links are those of the site's address, as it stands for any page
    parts = urlsplit(target)
    file = (here.parent / unquote(parts.path)).resolve() if parts.path else here
    file = file / "index.html" if file.is_dir() else file
    if not file.exists():
        return [f"{name} links to {target}, which is not there"]
    linked = pages.get(file.relative_to(folder).as_posix())
    if (
        linked is None
        or parts.fragment in {"", "__top"}
        or unquote(parts.fragment) in linked.anchors
    ):
        return []
    return [f"{name} links to {target}, and there is no such anchor"]
