"""Pages of the examples: each folder of examples/ is one, its README first and then its files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from website.places import ROOT, anchor_of_file, for_site

LANGUAGES: Final = {
    ".py": "python",
    ".ts": "typescript",
    ".json": "json",
    ".yml": "yaml",
    ".yaml": "yaml",
    ".toml": "toml",
    ".sh": "sh",
    ".ini": "ini",
    ".service": "ini",
    ".proto": "protobuf",
    ".ipynb": "json",
    ".txt": "text",
    ".html": "html",
    ".conf": "text",
    ".cfg": "ini",
    ".env": "sh",
    ".mjs": "javascript",
    ".js": "javascript",
}
_NO_PARTS: Final = {"__pycache__", "node_modules"}
LONGEST: Final = 40_000
"""Bytes of the longest file that is shown: beyond are files that programs made."""


def pages() -> dict[str, str]:
    """The pages by their paths in the site."""
    folders = sorted(path for path in (ROOT / "examples").iterdir() if _is_example(path))
    return {f"examples/{folder.name}.md": _page(folder) for folder in folders}


def _is_example(path: Path) -> bool:
    return path.is_dir() and path.name not in _NO_PARTS and bool(_files(path))


def _files(folder: Path) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not _NO_PARTS.intersection(path.relative_to(folder).parts)
        and path.name != "README.md"
        and path.stat().st_size <= LONGEST
        and (path.suffix in LANGUAGES or path.name in {"Dockerfile", "Makefile"})
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _page(folder: Path) -> str:
    readme = folder / "README.md"
    name = folder.name.replace("_", " ").capitalize()
    if readme.exists():
        text = for_site(readme.read_text(), f"examples/{folder.name}/README.md")
    else:
        text = f"# {name}\n"
    lines = [text, "## Files\n"]
    for path in _files(folder):
        inside = path.relative_to(folder).as_posix()
        if path.suffix == ".ipynb":
            lines += [_heading(inside), _notebook(path)]
            continue
        fence = "````" if "```" in (code := path.read_text()) else "```"
        language = LANGUAGES.get(path.suffix, path.name.lower())
        lines += [
            _heading(inside),
            f"{fence}{language}\n{code.rstrip()}\n{fence}\n",
        ]
    return "\n".join(lines)


def _heading(inside: str) -> str:
    return f"### `{inside}` {{ #{anchor_of_file(inside)} }}\n"


def _notebook(path: Path) -> str:
    """The cells of a notebook, as they are read."""
    cells = json.loads(path.read_text())["cells"]
    texts = [("".join(cell["source"]).strip(), cell["cell_type"] == "code") for cell in cells]
    return (
        "\n\n".join(
            f"```python\n{text}\n```"
            if is_code
            else re.sub(r"^#+ (.*)$", r"**\1**", text, flags=re.MULTILINE)
            for text, is_code in texts
        )
        + "\n"
    )
