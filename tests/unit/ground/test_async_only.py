"""A plain `with` is an error that says what to write, and never enters anything."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.async_only import AsyncOnly


class Pool(AsyncOnly):
    pass


def test_a_plain_with_says_what_to_write() -> None:
    pool: Any = Pool()
    with (
        pytest.raises(TypeError, match="a Pool is entered with `async with`, not with `with`"),
        pool,
    ):
        pass
