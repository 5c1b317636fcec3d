"""Reads the fenced blocks out of a Markdown file, so that tests can run what readers copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    heading: str
    """The nearest heading above it, without its marks."""
    path: Path
    line: int
    """The number of its first line of text, as a traceback counts."""

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.path.name}:{self.line}"


def blocks(path: str, language: str | None = None) -> list[Block]:
    """The blocks of a file, named from the project's root, in their order."""
    found: list[Block] = []
    heading, language_now, lines, start = "", None, list[str](), 0
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        if line.startswith("```"):
            if language_now is None:
                language_now, lines, start = line[3:].strip(), [], number + 1
                continue
            text = "\n".join(lines) + "\n"
            found.append(
                Block(
                    language=language_now,
                    text=text,
                    heading=heading,
                    path=ROOT / path,
                    line=start,
                )
            )
            language_now = None
        elif language_now is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    assert language_now is None, f"{path}: the block of line {start} does not end"
    return [block for block in found if language in (None, block.language)]


def table(path: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, header and rule left out."""
    text = (ROOT / path).read_text().partition(f"# {heading}\n")[2]
    assert text, f"{path} has no heading {heading!r}"
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = line.strip("|").replace(r"\|", "\0").split("|")
            rows.append([cell.strip().replace("\0", "|") for cell in cells])
        elif rows:
            break
    return rows[2:]
