"""`run` takes a coroutine, and says what to write where it gets something else."""

from __future__ import annotations

from typing import Any

import pytest

import leveret


async def main() -> int:
    return 5


def test_it_returns_what_the_coroutine_returns() -> None:
    assert leveret.run(main()) == 5


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (leveret.connect("embedded://"), "open it inside of main, with `async with"),
        (main, r"write main\(\) with parentheses"),
        (5, "got int"),
    ],
)
def test_what_is_no_coroutine_is_refused_before_anything_runs(given: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        leveret.run(given)
