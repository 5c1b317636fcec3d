"""Tests see a `Rabbit` as its users do: none reaches for a private attribute of it.

So its insides can be rebuilt without touching a test. What only tests and tools need is public and
documented as such (`Rabbit.calls`); what a broker or a `FaultProxy` shows needs nothing of it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from leveret import Rabbit

ROOT = Path(__file__).parents[2]


def _private_attributes() -> set[str]:
    """The private names that the class `Rabbit` defines, or sets on `self`."""
    source = Path(inspect.getsourcefile(Rabbit) or "").read_text()
    (rabbit,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and node.name == Rabbit.__name__
    )
    names = {
        node.attr
        for node in ast.walk(rabbit)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    } | {
        node.name
        for node in rabbit.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def _reached_for(module: ast.Module, private: set[str]) -> Iterator[tuple[int, str]]:
    """Where a module takes one of these attributes of anything but `self`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node.attr in private:
            of = ast.unparse(node.value)
            if of not in {"self", "cls"}:
                yield node.lineno, f"{of}.{node.attr}"


def test_private_attributes_are_found() -> None:
    module = ast.parse("rabbit._link\nself._link\nrabbit.state\nf(rabbit._link.loop)")
    assert list(_reached_for(module, {"_link"})) == [(1, "rabbit._link"), (4, "rabbit._link")]
    assert "_open" in _private_attributes()


def test_no_test_reaches_for_what_is_private_to_a_rabbit() -> None:
    private = _private_attributes()
    found = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line, what in _reached_for(ast.parse(file.read_text()), private)
    ]
    assert not found, "\n".join(found)
