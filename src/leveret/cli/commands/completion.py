"""`leveret completion`: what a shell needs to complete command lines, and what it asks then."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import typer

import leveret
from leveret.cli.completing import SCRIPTS, Live, Next, Shell, next_words
from leveret.cli.contexts import contexts_file, read_contexts
from leveret.cli.options import broker_of
from leveret.cli.printing import print_result
from leveret.client.totals import totals

__all__ = ["CODES", "complete_with", "completion"]

CODES: Final = (0, 2)
"""The exit codes that it can have."""
_WITHIN: Final = 0.5
"""Seconds that all of it may take: who waits has a finger on the key."""
_ANSWERED_WITHIN: Final = 0.3
"""Seconds of these that servers have to say their names."""
_HARMLESS: Final = re.compile(r"[\w.-]+")


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that is to complete.")],
) -> None:
    """Print what makes a shell complete commands, options, and the names of live services.

    For bash, in ~/.bashrc:  source <(leveret completion bash)

    For zsh, in ~/.zshrc after compinit:  source <(leveret completion zsh)

    For fish, in config.fish:  leveret completion fish | source
    """
    print_result(SCRIPTS[shell].removesuffix("\n"), as_json=False)


def complete_with(command: Callable[[], Any]) -> Callable[[list[str] | None], None]:
    """Make the command that shells ask; it says nothing where anything fails.

    :param command: the command line, of click.
    """

    def complete(
        words: Annotated[list[str] | None, typer.Argument(metavar="WORD...")] = None,
    ) -> None:
        """Print what may stand for the last word. For the scripts of `leveret completion`."""
        logging.disable()
        try:
            found = next_words(command(), words or [""])
            names = [*found.words, *_live_words(found, (words or [""])[-1])]
        except Exception:  # noqa: BLE001 - a shell has no place for it
            return
        for name in names:
            print_result(name, as_json=False)

    return complete


def _live_words(found: Next, last: str) -> list[str]:
    if found.live is None:
        return []
    if found.live is Live.CONTEXTS:
        names: Iterable[str] = read_contexts(contexts_file()).urls
    else:
        url = broker_of(found.url or os.environ.get("LEVERET_URL") or None)
        names = asyncio.run(_names(url, methods=found.live is Live.METHODS))
    # Others chose these names: no shell is to see anything else in them.
    return sorted(name for name in names if name.startswith(last) and _HARMLESS.fullmatch(name))


async def _names(url: str | None, *, methods: bool) -> set[str]:
    async with asyncio.timeout(_WITHIN):
        async with leveret.connect(url, reconnect=False) as rabbit:
            if methods:
                return set(totals((await rabbit.stats(timeout=_ANSWERED_WITHIN)).servers))
            servers = (await rabbit.servers(timeout=_ANSWERED_WITHIN)).servers
            return {service for server in servers for service in server.services}
