"""A live screen is drawn after each look and each key, and leaves the terminal as it was."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from pathlib import Path

import pytest

from leveret.cli.live_screen import keys_of_terminal, show_live


async def test_it_draws_after_each_key_until_q() -> None:
    written: list[str] = []
    pressed: list[str] = []
    looks = 0
    keys: asyncio.Queue[str] = asyncio.Queue()
    for key in "pq":
        keys.put_nowait(key)

    async def look() -> None:
        nonlocal looks
        looks += 1

    await show_live(
        look,
        lambda: [f"look {looks}", *pressed],
        pressed.append,
        write=written.append,
        keys=keys,
        interval=60,
    )
    assert written == [
        "\x1b[?1049h\x1b[?25l",
        "\x1b[Hlook 1\x1b[K\x1b[J",
        "\x1b[Hlook 1\x1b[K\r\np\x1b[K\x1b[J",
        "\x1b[?25h\x1b[?1049l",
    ]


async def test_it_looks_again_after_the_interval_and_leaves_the_screen_when_a_look_fails() -> None:
    written: list[str] = []
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await show_live(
            look,
            list,
            lambda key: None,
            write=written.append,
            keys=asyncio.Queue(),
            interval=0.001,
        )
    assert written[-1] == "\x1b[?25h\x1b[?1049l"
    assert len(written) == 4


async def test_a_key_is_obeyed_while_a_look_takes_long() -> None:
    pressed: list[str] = []
    keys: asyncio.Queue[str] = asyncio.Queue()
    for key in "pq":
        keys.put_nowait(key)
    async with asyncio.timeout(60):
        await show_live(
            asyncio.Event().wait,  # servers that do not answer
            list,
            pressed.append,
            write=lambda text: None,
            keys=keys,
            interval=60,
        )
    assert pressed == ["p"]


async def test_keys_of_a_terminal_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as outer, os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with keys_of_terminal() as keys:
            outer.write(b"pq")
            assert [await keys.get(), await keys.get()] == ["p", "q"]


async def test_where_there_is_no_terminal_no_keys_come(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as stdin:  # noqa: ASYNC230 - opening it does not block
        monkeypatch.setattr(sys, "stdin", stdin)
        with keys_of_terminal() as keys:
            assert keys.empty()
