"""Compares the public API with that of the last release, by griffe.

Before 1.0 a release with another second number may break the API, after it one with another first
number. Any other release may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import griffe

from release.commands import Failed, output

_RELEASED: Final = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


def last_release(root: Path, version: str) -> str | None:
    """The tag of the release before a version; None where CHANGELOG.md names no release before it.

    :raises Failed: CHANGELOG.md names one, and there is no tag of it.
    """
    tags = output("git", "tag", "--list", "v*", "--sort=-version:refname", cwd=root).split()
    released = _RELEASED.findall((root / "CHANGELOG.md").read_text())
    before = [one for one in released if _numbers(one) < _numbers(version)]
    if not before:
        return None
    tag = f"v{max(before, key=_numbers)}"
    if tag not in tags:
        raise Failed(f"CHANGELOG.md names {tag[1:]}, and git has no tag {tag}: git fetch --tags")
    return tag


def check(root: Path, version: str, modules: tuple[str, ...]) -> str:
    """Compare, and say what came out.

    :param root: the folder of the repository; the packages are in its `src`.
    :param modules: the public modules.
    :raises Failed: a version that may not break the API does.
    """
    tag = last_release(root, version)
    if tag is None:
        return f"{version} is the first release: there is no API to compare with"
    found = list(_breaks(root, tag, modules))
    for line in found:
        print(f"release: {line}")
    if found and not may_break(tag[1:], version):
        raise Failed(f"{version} breaks the API of {tag[1:]}: {len(found)} changes")
    return f"{len(found)} changes break the API of {tag[1:]}"


def may_break(old: str, new: str) -> bool:
    """Whether a release may break the API of another."""
    before, after = _numbers(old), _numbers(new)
    fixed = 2 if after[0] == 0 else 1
    return before[:fixed] != after[:fixed]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _breaks(root: Path, tag: str, modules: tuple[str, ...]) -> Iterator[str]:
    for package in sorted({module.partition(".")[0] for module in modules}):
        old = griffe.load_git(
            package, ref=tag, repo=root, search_paths=["src"], resolve_aliases=True
        )
        new = griffe.load(package, search_paths=[str(root / "src")], resolve_aliases=True)
        public = {path for one in (old, new) for path in _public(one, package, modules)}
        for breakage in griffe.find_breaking_changes(old, new):
            if any(_is_in(breakage.obj, path) for path in public):
                yield f"{breakage.obj.path}: {breakage.kind.value}"


def _is_in(changed: Any, path: str) -> bool:
    """Whether what has changed is a public name, or a part of one."""
    return any(f"{one}.".startswith(f"{path}.") for one in (changed.path, changed.canonical_path))


def _public(loaded: Any, package: str, modules: tuple[str, ...]) -> Iterator[str]:
    """Where the names in `__all__` of a package's public modules are, and where they come from."""
    for path in modules:
        if path != package and not path.startswith(f"{package}."):
            continue
        module = loaded
        for part in path.split(".")[1:]:
            module = module.members.get(part) if module is not None else None
        for name in map(str, (module.exports or ()) if module is not None else ()):
            member = module.members.get(name.strip("'\""))
            if member is not None:
                yield member.path
                if not member.is_alias or member.resolved:
                    yield member.canonical_path
