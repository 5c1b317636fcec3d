"""A line of the log that names a call has the call as fields of its record, too.

By these, machines find what was logged of a call (docs/deploying.md, "Logging").
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "leveret"


def _calls(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """What is called in a function, by name, without what stands in functions inside of it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield ast.unparse(child.func), child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _calls(child)


def _lines_about_a_call() -> Iterator[tuple[str, ast.Call]]:
    """Where the log is written in a function that names a single call with `shown`."""
    for path in SRC.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found = list(_calls(function))
                if any(name == "shown" for name, _ in found):
                    for name, call in found:
                        if name.startswith("log."):
                            yield f"{path.relative_to(SRC)}:{call.lineno}", call


def test_a_line_that_names_a_call_has_its_fields() -> None:
    lines = list(_lines_about_a_call())
    assert len(lines) > 10
    for where, call in lines:
        extra = [ast.unparse(it.value) for it in call.keywords if it.arg == "extra"]
        assert extra, f"{where}: write extra=fields_of(call)"
        assert extra[0].startswith("fields_of("), where
