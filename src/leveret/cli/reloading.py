"""`leveret serve --reload`: new workers whenever the code changes, for development.

The new workers start first, and the old ones drain once the new ones serve: so no call is lost or
finds no server, and code that does not even load never takes the place of code that works. Then,
and where nothing serves yet, the next change is waited for.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from leveret.cli.exits import DONE
from leveret.cli.serving import ServeOptions
from leveret.cli.supervisor import Crew, signals

__all__ = ["Changes", "serve_reloading", "watched"]

log = logging.getLogger("leveret.cli")

_EVERY: Final = 0.5
"""Seconds between two looks at the files."""
_SETTLED: Final = 0.1
"""Seconds without a further change after which what an editor or git does is over."""
_MOST: Final = 20_000
"""Of more files, those beyond are not watched: whoever serves from "/" shall not wait for ever."""
_NAMED: Final = 5
"""How many changed files a line of the log names."""
_NOT_OURS: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_NO_BYTECODE: Final = ("-B",)
"""A .pyc is told from an outdated one by seconds and size: an edit can be quicker than that."""
_UNMENDABLE: Final = frozenset({2, 10})
"""Exit codes that no change of the code mends: a bad URL, a refused login."""

Stamps = dict[Path, tuple[int, int]]
"""When each file was modified (ns), and how large it is (bytes)."""


def serve_reloading(options: ServeOptions, workers: int) -> int:
    """Serve until SIGINT or SIGTERM, anew at each change; returns the exit code."""
    return asyncio.run(_Reloader(options, workers, Changes(watched(options.targets))).run())


def watched(targets: Iterable[str]) -> list[Path]:
    """The working directory, and where the targets' modules are; nothing is imported."""
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    found = [here]
    for target in targets:
        for place in _places(target.partition(":")[0].partition(".")[0]):
            if not any(place.is_relative_to(other) for other in found):
                found.append(place)
    return found


def _places(module: str) -> list[Path]:
    """The folders of a package, or that of a module; of one that was installed, its file alone."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []  # no such module: the worker will say so
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder).resolve() for folder in spec.submodule_search_locations]
    if not spec.origin or not spec.has_location:
        return []
    file = Path(spec.origin).resolve()
    return [file if _NOT_OURS & set(file.parts) else file.parent]


class Changes:
    """What changes among the Python files below some folders, since this was made."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(roots)
        self._seen = self._look()

    async def next(self) -> list[Path]:
        """Wait for changes; returns the files that were written, added or removed, by name."""
        while True:
            now = await asyncio.to_thread(self._look)
            if now != self._seen:
                break
            await asyncio.sleep(_EVERY)
        while True:
            await asyncio.sleep(_SETTLED)
            settled = await asyncio.to_thread(self._look)
            if settled == now:
                break
            now = settled
        before, self._seen = self._seen, now
        return sorted({path for path, _ in before.items() ^ now.items()})

    def _look(self) -> Stamps:
        stamps: Stamps = {}
        for root in self._roots:
            for path in _python_files(root):
                try:
                    stat = path.stat()
                except OSError:
                    continue  # removed meanwhile
                stamps[path] = (stat.st_mtime_ns, stat.st_size)
                if len(stamps) >= _MOST:
                    return stamps
        return stamps


def _python_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, folders, files in os.walk(root):
        if "pyvenv.cfg" in files and Path(folder) != root:
            folders.clear()  # a virtual environment
            continue
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _NOT_OURS
        )
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder, name)


class _Reloader:
    """One crew of workers after the other."""

    def __init__(self, options: ServeOptions, workers: int, changes: Changes) -> None:
        self._options = options
        self._workers = workers
        self._changes = changes
        self._crews: dict[Crew, asyncio.Task[int]] = {}
        """All that have not ended; one serves, one may start, and any number may drain."""
        self._serving: Crew | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal; or until the first crew meets what no change can mend."""
        with signals(self._drain, self._hurry):
            stopping = asyncio.create_task(self._stopping.wait())
            changing = asyncio.create_task(self._changes.next())
            code = DONE
            while not stopping.done():
                code = await self._start(stopping, changing)
                if self._serving is None and code in _UNMENDABLE:
                    break
                await asyncio.wait((stopping, changing), return_when=asyncio.FIRST_COMPLETED)
                if changing.done():
                    _tell(changing.result())
                    changing = asyncio.create_task(self._changes.next())
            for task in (stopping, changing):
                task.cancel()
            codes = await asyncio.gather(*self._crews.values())
        log.info("all workers have ended")
        return next(filter(None, codes), DONE if self._stopping.is_set() else code)

    async def _start(self, stopping: asyncio.Task[bool], changing: asyncio.Task[list[Path]]) -> int:
        """Start a new crew, which takes the place of the old one when it serves.

        Returns at once if the code changes meanwhile. The result is the exit code of a crew that
        could not serve, else 0.
        """
        crew = Crew(self._options, self._workers, flags=_NO_BYTECODE)
        running = self._crews[crew] = asyncio.create_task(crew.run())
        running.add_done_callback(lambda _: self._ended(crew))
        ready = asyncio.create_task(crew.ready.wait())
        await asyncio.wait(
            (ready, running, stopping, changing), return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        if crew.ready.is_set():
            old, self._serving = self._serving, crew
            if old is not None and not self._stopping.is_set():
                old.drain("")
        elif running.done():
            log.error(
                "waiting for the next change%s",
                "; until then the old code serves on" if self._serving else "",
            )
            return running.result()
        elif not self._stopping.is_set():
            crew.drain("")  # it would serve what is outdated already
        return DONE

    def _ended(self, crew: Crew) -> None:
        self._crews.pop(crew, None)
        if crew.ready.is_set() and crew is not self._serving:
            log.info("the workers with the old code have ended")

    def _drain(self) -> None:
        self._stopping.set()
        for crew in tuple(self._crews):
            crew.drain()

    def _hurry(self) -> None:
        for crew in tuple(self._crews):
            crew.hurry()


def _tell(changed: list[Path]) -> None:
    here = Path.cwd()
    names = [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in changed]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    log.info("%s%s changed; starting anew", ", ".join(names[:_NAMED]), more)
