"""What the tests of README and of the pages that explain by snippets have in common."""

from __future__ import annotations

import re
from itertools import pairwise

from leveret import Rabbit
from tests.docs.fences import Block, blocks
from tests.docs.shell import Line, lines

README = "README.md"


def files(page: str = README) -> dict[str, str]:
    """The files that a page shows, by the names in their first lines."""
    found = {}
    for block in blocks(page, "python"):
        name = re.match(r"# (\w+\.py)\n", block.text)
        if name is not None:
            found[name[1]] = block.text
    return found


def snippets(page: str) -> list[Block]:
    """The Python blocks of a page that are no files and do not raise."""
    no_snippets = {*files(page).values(), *(code.text for code, _ in failures(page))}
    return [block for block in blocks(page, "python") if block.text not in no_snippets]


def failures(page: str) -> list[tuple[Block, Block]]:
    """The blocks that raise, each with the message that follows it."""
    return [
        (code, message)
        for code, message in pairwise(blocks(page))
        if (code.language, message.language) == ("python", "text")
    ]


def commands(page: str, heading: str) -> list[list[Line]]:
    """The lines of each block of commands below a heading."""
    return [lines(block.text) for block in blocks(page, "sh") if block.heading == heading]


async def serves(rabbit: Rabbit) -> None:
    """Return when the server of the example serves."""
    patient = rabbit.with_options(wait_for_server=True, timeout=40)
    assert await patient.call("fibonacci.fib", n=1) == 1
