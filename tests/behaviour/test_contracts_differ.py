"""Servers that share a queue and have different contracts: the log tells, before callers wonder."""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import Rabbit, Service, method
from tests.behaviour.patience import until


def shop(*, limited: bool, words: str) -> Service:
    """A shop, in one of two versions."""
    if limited:

        class Shop(Service):
            @method(idempotent=True)
            async def find(self, word: str, limit: int = 10) -> list[str]:
                return [word] * limit

            @method
            async def only_here(self) -> None: ...

    else:

        class Shop(Service):  # type: ignore[no-redef]
            @method(idempotent=True, timeout=7)
            async def find(self, word: str) -> list[str]:
                return [word]

    Shop.find.__doc__ = words
    return Shop()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [m for m in caplog.messages if "another contract" in m]


async def test_a_server_that_starts_warns_of_another_contract_on_its_queue(
    rabbitmq_url: str, host: Rabbit, other_host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        host.serving(shop(limited=False, words="Finds.")) as old,
        leveret.connect(rabbitmq_url, name="newest") as newest,
        other_host.serving(shop(limited=False, words="Finds, in other words.")),
        newest.serving(shop(limited=True, words="Finds.")),
    ):
        await until(lambda: len(warnings(caplog)) == 1, "the new one says so")
        (line,) = warnings(caplog)
        assert line.startswith("shop.find has another contract at the server")
        assert "arguments.properties.limit is " in line
        assert " here and missing there" in line
        assert old.instance in line or "instance" in line
        await asyncio.sleep(0)
        assert "only_here" not in line
