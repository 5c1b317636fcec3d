"""What `make release-check` finds: a broken API, an action that may be moved, a version untold."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from release import api, workflows
from release.commands import Failed
from tests.docs.fences import ROOT

IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "n"), ("EMAIL", "n@example.org"))
}
BEFORE = '__all__ = ["call"]\n\ndef call(a: int, b: int = 0) -> int:\n    return a\n'
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a package that was released as 0.1.0."""
    (tmp_path / "src" / "shop").mkdir(parents=True)
    (tmp_path / "src" / "shop" / "__init__.py").write_text(BEFORE)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "0.1.0"), ("tag", "v0.1.0")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, env=os.environ | IDENTITY)
    return tmp_path


def test_a_name_that_is_gone_may_not_go_in_a_release_that_only_mends(project: Path) -> None:
    (project / "src" / "shop" / "__init__.py").write_text("__all__: list[str] = []\n")
    with pytest.raises(Failed, match=r"0\.1\.1 breaks the API of 0\.1\.0: 1 change"):
        api.check(project, "0.1.1", ("shop",))
    assert api.check(project, "0.2.0", ("shop",)) == "1 changes break the API of 0.1.0"


def test_what_is_not_public_may_change(project: Path) -> None:
    added = BEFORE + "\ndef _inner(b: int) -> None: ...\n"
    (project / "src" / "shop" / "__init__.py").write_text(added)
    assert api.check(project, "0.1.1", ("shop",)) == "0 changes break the API of 0.1.0"


def test_before_the_first_release_there_is_nothing_to_compare_with(project: Path) -> None:
    (project / "CHANGELOG.md").write_text("# Changelog\n\n## [0.1.0] - 2026-01-01\n")
    told = api.check(project, "0.1.0", ("shop",))
    assert told == "0.1.0 is the first release: there is no API to compare with"


def test_a_release_without_its_tag_is_not_passed_over(project: Path) -> None:
    (project / "CHANGELOG.md").write_text(f"{CHANGELOG}\n## [0.1.5] - 2026-01-02\n")
    with pytest.raises(Failed, match=r"git has no tag v0\.1\.5"):
        api.check(project, "0.2.0", ("shop",))


def test_an_action_that_is_named_by_a_tag_is_found() -> None:
    commit = "11bd71901bbe5b1630ceea73d27597364c9af683"
    text = f"uses: actions/checkout@v4\nuses: actions/checkout@{commit}  # v4.2.2\n"
    assert workflows.unpinned(text) == ["actions/checkout@v4"]


@pytest.mark.parametrize("workflow", ["ci.yml", "release.yml"])
def test_our_workflows_name_every_action_by_its_commit(workflow: str) -> None:
    text = (ROOT / ".github" / "workflows" / workflow).read_text()
    assert "uses: " in text
    assert workflows.unpinned(text) == []
