"""`leveret failed`: what it shows of failed requests, and what it does with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import leveret
from leveret import Service, method
from leveret.client.failed_requests import FailedRequests
from tests.behaviour.cli_commands import Commands
from tests.behaviour.patience import until, until_found


class Post(Service):
    """Delivers letters, but for those that it cannot read."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()
        self.delivered: list[str] = []

    @method(one_way=True, keep_failed=True)
    async def deliver(self, letter: str) -> None:
        if letter in self.unreadable:
            raise ValueError(f"{letter!r} is torn")
        self.delivered.append(letter)

    @method
    async def weigh(self, letter: str) -> int:
        return len(letter)


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


async def test_failed_requests_are_listed_shown_retried_and_dropped(commands: Commands) -> None:
    post = Post()
    post.unreadable = {"a", "b"}

    async with leveret.connect(commands.url) as rabbit:

        async def kept() -> int:
            requests = await FailedRequests.open(rabbit.calls.connection, "post.deliver")
            count = len([delivery async for delivery in requests.each()])
            await requests.close()
            return count

        async with rabbit.serving(post):
            nothing = await commands.run("failed", "ls", "post.deliver")
            assert (nothing.text, nothing.process.returncode) == ("", 0)
            assert nothing.lines == ["leveret: no failed requests of post.deliver"]
            remote = rabbit.remote(Post).with_options(metadata={"by": "me"})
            await remote.deliver("a")
            await until_found(kept, 1, "the first is kept")
            await remote.deliver("b")
            await until_found(kept, 2, "both are kept")

            listed: list[str] = []

            async def lines() -> int:
                # Its servers name its methods.
                listed[:] = (await commands.run("failed", "ls", "post")).text.splitlines()
                return len(listed)

            await until_found(lines, 2, "both are listed")
            first, second = listed
            assert "post.deliver  ValueError: 'a' is torn (INTERNAL, executed: yes)" in first
            assert "'b' is torn" in second
            found: list[dict[str, Any]] = [
                json.loads(line)
                for line in (
                    await commands.run("failed", "ls", "post.deliver", "--json")
                ).text.splitlines()
            ]
            ids = [each["id"] for each in found]
            assert [first.split()[0], second.split()[0]] == ids
            assert found[0]["code"] == "INTERNAL"
            assert found[0]["attempts"] == 1

            shown = await commands.run("failed", "show", "post.deliver", ids[0])
            one = json.loads(shown.text)
            assert (one["arguments"], one["metadata"]) == ({"letter": "a"}, {"by": "me"})
            assert (one["user"], one["method"], one["id"]) == ("guest", "post.deliver", ids[0])

            dropped = await commands.run("failed", "drop", "post.deliver", ids[0])
            assert (dropped.text, dropped.process.returncode) == ("dropped 1\n", 0)
            post.unreadable.clear()
            retried = await commands.run("failed", "retry", "post.deliver", "--all", "--json")
            assert json.loads(retried.text) == {"retried": 1}
            await until(lambda: post.delivered == ["b"], "it is delivered")
            await until_found(kept, 0, "none is left")


@pytest.mark.embedded_only
async def test_what_is_not_there_is_an_error_with_a_code(commands: Commands) -> None:
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Post()):
        unknown = await commands.run("failed", "show", "post.deliver", "nothing")
        assert unknown.process.returncode == 3
        assert "no failed request with the id 'nothing'" in unknown.lines[0]
        for what in ("retry", "drop"):
            unknown = await commands.run("failed", what, "post.deliver", "nothing")
            assert unknown.process.returncode == 3
            assert unknown.lines[0].endswith("no failed request with the id 'nothing'")
        none = await commands.run("failed", "ls", "post.weigh")
        assert none.process.returncode == 4
        assert "nothing keeps failed requests of this method" in none.lines[0]
        nobody = await commands.run("failed", "ls", "nobody")
        assert nobody.process.returncode == 5
        both = await commands.run("failed", "retry", "post.deliver")
        assert both.process.returncode == 2
        assert "give the ID of one request, or --all" in "\n".join(both.lines)
