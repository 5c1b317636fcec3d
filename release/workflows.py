"""Lints the workflows of continuous integration: by zizmor, and for actions without a commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from release.commands import ROOT, Failed, run, tool

WORKFLOWS: Final = ROOT / ".github" / "workflows"
_USES: Final = re.compile(r"uses: (\S+)")
_BY_COMMIT: Final = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def unpinned(text: str) -> list[str]:
    """The actions that a workflow names by a tag or a branch, which may be moved."""
    return [action for action in _USES.findall(text) if not _BY_COMMIT.fullmatch(action)]


def check(folder: Path = WORKFLOWS) -> None:
    """Lint all workflows.

    :raises Failed: zizmor finds something, or an action is not named by a commit.
    """
    for path in sorted(folder.glob("*.yml")):
        if found := unpinned(path.read_text()):
            raise Failed(f"{path.name} uses {', '.join(found)}: name actions by commit")
    run(tool("zizmor"), "--offline", "--no-progress", "--persona", "regular", folder)
