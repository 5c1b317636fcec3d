"""docs/web-frameworks.md shows parts of the examples, which have tests of their own."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import msgspec
import pytest

from leveret.contrib.asgi import problem_of
from tests.docs.fences import ROOT, Block, blocks

DOCUMENT = "docs/web-frameworks.md"
SHOWN = [
    path
    for name in ("fastapi", "starlette", "litestar")
    for path in (ROOT / "examples" / name).glob("*.py")
]


@pytest.mark.parametrize("block", blocks(DOCUMENT, "python"), ids=lambda block: block.name)
def test_what_the_page_shows_stands_in_an_example(block: Block) -> None:
    assert any(block.text in path.read_text() for path in SHOWN), block.text


def test_the_problem_is_what_the_example_of_fastapi_answers() -> None:
    shop = module("fastapi", "shop")
    error = shop.OutOfStock("hay", 0)
    error.call_id = "4mJ0cVq3uTgA1rXk"
    (shown,) = blocks(DOCUMENT, "json")
    problem = problem_of(error, {"OUT_OF_STOCK": 409})
    assert msgspec.json.decode(problem.body) == msgspec.json.decode(shown.text)


def module(folder: str, name: str) -> ModuleType:
    """A module of an example."""
    spec = importlib.util.spec_from_file_location(
        f"example_{name}", ROOT / "examples" / folder / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
