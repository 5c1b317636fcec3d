"""What a handler yields with a cursor, as those see it who call it without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from leveret.contract import CursoredItem, Item, Service, method


class Feed(Service):
    """Numbers its items."""

    @method(resume=True)
    async def watch(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield Item(i, cursor=f"after {i}")


async def test_a_call_of_an_instance_itself_gives_the_items_with_their_cursors() -> None:
    items: list[Any] = [item async for item in Feed().watch(2)]
    assert items == [CursoredItem(0, "after 0"), CursoredItem(1, "after 1")]
    assert [(item.value, item.cursor) for item in items] == [(0, "after 0"), (1, "after 1")]


@pytest.mark.parametrize("cursor", [0, 7, None, b"7"])
def test_a_cursor_that_is_no_text_is_refused_where_it_is_made(cursor: Any) -> None:
    with pytest.raises(TypeError, match="the cursor of an item is text; got"):
        Item(1, cursor=cursor)
