"""Waits for changes of Python files, for `leveret serve --reload`.

The operating system reports the changes, through `watchfiles`. Where its limit of watches is
reached, the files are looked at once a second instead. WATCHFILES_FORCE_POLLING=true has the same
effect, for network file systems whose changes the system does not see.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from leveret.cli.current_folder import current_folder

__all__ = ["Changes", "watched"]

_SETTLED: Final = 100
"""Milliseconds without a further change after which an editor or git has finished writing."""
_LONGEST: Final = 5_000
"""Milliseconds after which changes are reported even if more keep coming."""
_POLL_EVERY: Final = 1_000
"""Milliseconds between two looks at the files, where the system cannot report changes."""
_NOT_OURS: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
"""Folders without code of the user."""

log = logging.getLogger("leveret.cli")

_Group = set[tuple[Change, str]]

# Its own lines would repeat the line that names the files.
logging.getLogger("watchfiles").setLevel(logging.WARNING)


def watched(targets: Iterable[str]) -> list[Path]:
    """The working directory and the folders of the targets' modules. Imports none of them."""
    here = current_folder()
    if here is not None and str(here) not in sys.path:
        sys.path.insert(0, str(here))
    found = [here] if here is not None else []
    for target in targets:
        for place in _locate(target.partition(":")[0].partition(".")[0]):
            if not any(place.is_relative_to(other) for other in found):
                found.append(place)
    return found


def _locate(module: str) -> list[Path]:
    """The folders of a package; the folder of a module, or of an installed module only its file."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []  # no such module: the worker reports it
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder).resolve() for folder in spec.submodule_search_locations]
    if not spec.origin or not spec.has_location:
        return []
    file = Path(spec.origin).resolve()
    return [file if _NOT_OURS & set(file.parts) else file.parent]


class Changes:
    """The changes of Python files below some folders, in groups.

    Hidden folders, virtual environments, installed packages and `node_modules` do not count.
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(roots)
        self._groups = self._watch()

    async def next(self) -> list[Path]:
        """Wait for changes; returns the files that were written, added or removed, by name.

        The first call starts to watch, in its first step. From then on no change is missed.
        """
        files: set[Path] = set()
        while not files:
            for _, path in await self._next_group():
                files.update(self._files_at(Path(path)))
        return sorted(files)

    async def _next_group(self) -> _Group:
        try:
            return await anext(self._groups)
        except OSError as error:  # such as the system's limit of watches
            log.warning("looking at the files every second instead of watching them: %s", error)
            self._groups = self._watch(force_polling=True)
            return await anext(self._groups)

    def _watch(
        self, *, force_polling: bool | None = None
    ) -> AsyncGenerator[set[tuple[Change, str]]]:
        return awatch(
            *self._roots,
            watch_filter=self._counts,
            debounce=_LONGEST,
            step=_SETTLED,
            force_polling=force_polling,
            poll_delay_ms=_POLL_EVERY,
            ignore_permission_denied=True,
        )

    def _counts(self, change: Change, path: str) -> bool:
        """Whether a change is one of the user's Python files, or a new folder."""
        return self._is_code(Path(path)) or (change is Change.added and Path(path).is_dir())

    def _files_at(self, path: Path) -> list[Path]:
        """The file itself; of a new folder, the files written before the watch on it began."""
        if not path.is_dir():
            return [path]
        return [file for file in path.rglob("*.py") if self._is_code(file)]

    def _is_code(self, file: Path) -> bool:
        return file.suffix == ".py" and any(
            _is_ours(file, root) for root in self._roots if file.is_relative_to(root)
        )


def _is_ours(file: Path, root: Path) -> bool:
    """Whether a file lies below `root`, and in no folder of somebody else's code."""
    folder = root
    for name in file.relative_to(root).parts[:-1]:
        folder /= name
        if name.startswith(".") or name in _NOT_OURS or (folder / "pyvenv.cfg").exists():
            return False
    return True
