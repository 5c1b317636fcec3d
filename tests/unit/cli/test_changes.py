"""Which changes of files `leveret serve --reload` sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from leveret.cli.serving import changes
from leveret.cli.serving.changes import Changes, watched


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@asynccontextmanager
async def watching(*roots: Path) -> AsyncIterator[asyncio.Task[list[Path]]]:
    """The first group of changes within the block, as a task."""
    task = asyncio.create_task(Changes(roots).next())
    await asyncio.sleep(0)  # it watches from its first step on
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def names(files: Iterable[Path]) -> list[str]:
    return [file.name for file in files]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "a.py").write_text("a = 2"), ["a.py"]),
        (lambda folder: (folder / "new.py").write_text(""), ["new.py"]),
        (lambda folder: (folder / "a.py").unlink(), ["a.py"]),
        (lambda folder: (folder / "a.py").rename(folder / "b.py"), ["a.py", "b.py"]),
    ],
    ids=["written", "added", "removed", "renamed"],
)
async def test_python_files_that_change_are_named(
    folder: Path, change: Callable[[Path], object], named: list[str]
) -> None:
    (folder / "a.py").write_text("a = 11")
    async with watching(folder) as changed:
        change(folder)
        assert names(await changed) == named


async def test_files_in_new_folders_are_seen(folder: Path) -> None:
    async with watching(folder) as changed:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.py").touch()
        assert names(await changed) == ["a.py"]


async def test_what_changes_between_two_groups_is_not_missed(folder: Path) -> None:
    groups = Changes([folder])
    first = asyncio.create_task(groups.next())
    await asyncio.sleep(0)
    (folder / "a.py").touch()
    assert names(await first) == ["a.py"]
    (folder / "b.py").touch()
    assert names(await groups.next()) == ["b.py"]


async def test_the_code_of_others_does_not_count(folder: Path) -> None:
    others = (".git", "__pycache__", "env", "node_modules")
    for other in others:
        (folder / other).mkdir()
    (folder / "env" / "pyvenv.cfg").touch()
    async with watching(folder) as changed:
        for other in others:
            (folder / other / "a.py").touch()
        (folder / "data.json").touch()
        (folder / "ours.py").touch()
        assert names(await changed) == ["ours.py"]


async def test_a_folder_that_is_named_counts_wherever_it_lies(folder: Path) -> None:
    hidden = folder / ".cache" / "project"
    hidden.mkdir(parents=True)
    async with watching(hidden) as changed:
        (hidden / "a.py").touch()
        assert names(await changed) == ["a.py"]


async def test_a_single_file_can_be_watched(folder: Path) -> None:
    (folder / "site-packages").mkdir()
    file = folder / "site-packages" / "single.py"
    file.touch()
    async with watching(file) as changed:
        file.write_text("a = 1")
        assert await changed == [file]


async def test_where_the_system_cannot_watch_the_files_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = watchfiles.awatch

    def limited(*roots: Path, force_polling: bool | None, **options: Any) -> Any:
        if not force_polling:
            raise OSError("OS file watch limit reached")
        return real(*roots, force_polling=True, **options | {"poll_delay_ms": 20})

    async def lazily(*roots: Path, **options: Any) -> AsyncIterator[Any]:
        async for group in limited(*roots, **options):
            yield group

    monkeypatch.setattr(changes, "awatch", lazily)
    async with watching(folder) as changed:
        (folder / "a.py").touch()
        assert names(await changed) == ["a.py"]
    assert "instead of watching them: OS file watch limit reached" in caplog.text


def test_packages_elsewhere_are_watched_and_of_what_is_installed_only_what_is_served(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other").resolve()
    installed = other / "site-packages"
    for package in (other / "shop", installed):
        package.mkdir()
    (other / "shop" / "__init__.py").write_text("raise RuntimeError('nobody may import this')")
    (installed / "single_file.py").touch()
    monkeypatch.syspath_prepend(str(other))
    monkeypatch.syspath_prepend(str(installed))
    found = watched(["shop.services:Shop", "single_file:Service", "nowhere:Nothing", "no target"])
    assert found == [Path.cwd(), other / "shop", installed / "single_file.py"]
