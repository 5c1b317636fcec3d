"""The code in docs/blocking.md runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import leveret
import leveret.blocking
from leveret import Service, method
from tests.behaviour.services import Fibonacci
from tests.brokers import Loop
from tests.docs.fences import blocks


class Feed(Service):
    @method
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])


@pytest.fixture
def served(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)

    async def serve() -> Any:
        rabbit = await leveret.connect(rabbitmq_url)
        await rabbit.serving(Fibonacci(), Feed())
        return rabbit

    with Loop() as loop:
        rabbit = loop.run(serve())
        yield
        loop.run(rabbit.close())


@pytest.mark.usefixtures("served")
def test_the_snippets_run(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, test = (block.text for block in blocks("docs/blocking.md", "python"))
    names: dict[str, Any] = {"Fibonacci": Fibonacci}
    exec(first, names)
    assert capsys.readouterr().out == "832040\n"
    with leveret.blocking.connect() as rabbit:
        names |= {"rabbit": rabbit, "feed": rabbit.remote(Feed)}
        names["fibonacci"] = rabbit.remote(Fibonacci)
        exec(second, names)
        assert (names["first"], names["second"]) == (55, 6765)
        assert names["future"].result(10) == 832040
        assert names["rabbit"].run(names["feed"].total(range(3))) == 3
    assert capsys.readouterr().out == "0\n1\n2\n" * 2
    exec(test, names)
    assert capsys.readouterr().out == "832040\n"
