"""No circles: siblings do not import each other in a round, not even for type checkers.

import-linter holds it, by the contract `acyclic_siblings` in pyproject.toml (`test_layers.py` runs
all contracts). Here: that this contract bites, that nothing is left out of it, and that no module
imports from Leveret only for type checkers. Such an import is how a file depends on a hub without
admitting it; a leaf defines a Protocol or takes a callable instead.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"


def _linter() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    linter: dict[str, Any] = project["tool"]["importlinter"]
    return linter


def _contract() -> dict[str, Any]:
    contracts: list[dict[str, Any]] = _linter()["contracts"]
    [contract] = [it for it in contracts if it["type"] == "acyclic_siblings"]
    return contract


def _lint(folder: Path, modules: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Hold our contract against a package `house` of these modules."""
    house = folder / "house"
    for name, source in ({"__init__.py": ""} | modules).items():
        file = house / name
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(source)
    ancestors = ", ".join(repr(it.replace("leveret", "house")) for it in _contract()["ancestors"])
    (folder / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_package = "house"\n'
        '[[tool.importlinter.contracts]]\nname = "No circles"\n'
        f'type = "acyclic_siblings"\nancestors = [{ancestors}]\n'
    )
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_house_without_a_circle_passes(tmp_path: Path) -> None:
    done = _lint(tmp_path, {"room/hub.py": "from house.room import leaf\n", "room/leaf.py": ""})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("leaf", ["room/leaf.py", "leaf.py", "room/corner/leaf.py"])
def test_a_circle_that_only_a_type_checker_sees_fails(leaf: str, tmp_path: Path) -> None:
    module = leaf.removesuffix(".py").replace("/", ".")
    done = _lint(
        tmp_path,
        {
            "room/hub.py": f"import house.{module}\n",
            leaf: "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from house.room.hub import Hub\n",
        },
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No cycles are allowed in house" in done.stdout


def test_every_folder_is_held_to_it() -> None:
    assert not _linter().get("exclude_type_checking_imports", False)
    contract = _contract()
    assert set(contract) <= {"name", "type", "ancestors", "ignore_imports"}
    assert contract["ancestors"] == ["leveret", "leveret.**"]


def _type_only_imports(module: ast.Module) -> Iterator[str]:
    """What a module imports from Leveret inside of `if TYPE_CHECKING:`."""
    for block in ast.walk(module):
        if not (isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)):
            continue
        for statement in (it for line in block.body for it in ast.walk(line)):
            match statement:
                case ast.ImportFrom(level=0, module=str(name)):
                    names = [name]
                case ast.ImportFrom():
                    names = ["leveret"]  # a relative import
                case ast.Import(names=aliases):
                    names = [alias.name for alias in aliases]
                case _:
                    continue
            yield from (name for name in names if name.split(".")[0] == "leveret")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("if TYPE_CHECKING:\n    from leveret.a import B", ["leveret.a"]),
        ("if typing.TYPE_CHECKING:\n    import ssl, leveret.a", ["leveret.a"]),
        ("def f():\n    if TYPE_CHECKING:\n        from .a import B", ["leveret"]),
        ("if TYPE_CHECKING:\n    import ssl\n    from redis import Redis", []),
        ("if TYPE_CHECKING:\n    import ssl\nelse:\n    from leveret.a import B", []),
        ("from leveret.a import B", []),
    ],
)
def test_type_only_imports_are_found(source: str, found: list[str]) -> None:
    assert list(_type_only_imports(ast.parse(source))) == found


def test_no_file_imports_from_leveret_for_type_checkers_only() -> None:
    offenders = {
        file.relative_to(SRC).as_posix()
        for file in sorted(SRC.glob("leveret/**/*.py"))
        if any(_type_only_imports(ast.parse(file.read_text())))
    }
    assert not offenders, "define a Protocol or take a callable in its place"
