"""Runs the documents' Python blocks in order, in one namespace, and holds them to their comments.

    await fibonacci.fib(30)    # 832040

is an expression whose value must be shown as its comment begins; what follows a comma or a colon
is for the reader. A block that defines services is a module of its own, as worker processes must
be able to import it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import CodeType
from typing import Any

from leveret import Rabbit, Service
from tests.docs.fences import Block


class Session:
    """The namespace in which blocks run; concrete services that they define are served."""

    def __init__(self, folder: Path, host: Rabbit, stack: AsyncExitStack, **names: Any) -> None:
        self.names: dict[str, Any] = {"host": host, **names, "_check": _check}
        self._folder = folder
        self._host = host
        self._stack = stack

    async def run(self, block: Block) -> None:
        """Run one block; AssertionError if a value is not as its comment says."""
        tree = ast.parse(block.text, str(block.path))
        if any(isinstance(statement, ast.ClassDef) for statement in tree.body):
            await self._define(block)
            return
        ast.increment_lineno(tree, block.line - 1)
        _Checks(block).visit(tree)
        code = compile(
            ast.fix_missing_locations(tree),
            str(block.path),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        await self._execute(code)

    async def _execute(self, code: CodeType) -> None:
        running = eval(code, self.names)
        if inspect.iscoroutine(running):
            await running

    async def _define(self, block: Block) -> None:
        """Import a block as a module, and serve what it defines."""
        name = f"{block.path.stem.lower()}_line_{block.line}"
        (self._folder / f"{name}.py").write_text(block.text)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        self._stack.callback(sys.modules.pop, name)
        for attribute, value in vars(module).items():
            if attribute.startswith("__"):
                continue
            self.names[attribute] = value
            ours = isinstance(value, type) and value.__module__ == name
            whole = not inspect.isabstract(value) and not getattr(value, "__parameters__", ())
            if ours and issubclass(value, Service) and whole:
                store = f"sqlite:///{self._folder}/once.db"
                await self._stack.enter_async_context(self._host.serving(value(), once=store))


class _Checks(ast.NodeTransformer):
    """Puts `_check(..., comment)` around each expression statement that has a comment."""

    def __init__(self, block: Block) -> None:
        self._lines = block.path.read_text().splitlines()

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        line = self._lines[(node.end_lineno or node.lineno) - 1]
        found = re.search(r"\s{2,}# (.+)$", line)
        if found is not None:
            node.value = ast.Call(
                func=ast.Name("_check", ast.Load()),
                args=[node.value, ast.Constant(found[1])],
                keywords=[],
            )
        return node


def _check(value: Any, comment: str) -> None:
    shown = repr(value)
    assert comment.startswith(shown), f"the document says {comment!r}, and the value is {shown}"
    rest = comment[len(shown) :]
    assert not rest or rest[0] in ",:", f"the document says {comment!r}, and the value is {shown}"
