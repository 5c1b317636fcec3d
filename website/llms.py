"""What language models read of the site: llms.txt, and llms-full.txt with the pages in one.

The form is that of https://llmstxt.org.
"""

from __future__ import annotations

import re
from typing import Final

_IN_FULL: Final = re.compile(r"(?!reference/|project/|examples/)")
"""Pages whose text stands in llms-full.txt."""


def files(pages: dict[str, str]) -> dict[str, str]:
    """The two files by their names.

    :param pages: all pages in the order of the navigation, by their paths.
    """
    start = pages["index.md"]
    purpose = start.split("\n\n")[1].replace("\n", " ")
    listed = [f"# Leveret\n\n> {purpose}\n"]
    sections: dict[str, list[str]] = {}
    for path, text in pages.items():
        title = text.partition("\n")[0].removeprefix("# ")
        sections.setdefault(_section(path), []).append(f"- [{title}]({path})")
    listed += [f"## {name}\n\n" + "\n".join(lines) + "\n" for name, lines in sections.items()]
    full = [text for path, text in pages.items() if _IN_FULL.match(path)]
    return {"llms.txt": "\n".join(listed), "llms-full.txt": "\n\n".join(full)}


def _section(path: str) -> str:
    folder = path.partition("/")[0] if "/" in path else "documents"
    return folder.capitalize()
