"""`leveret queues`: what waits, who serves it, and what becomes of queues that nobody serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret import Service, method
from leveret.transport.url import parse_url
from tests.behaviour.cli_commands import Commands
from tests.behaviour.raw import RawPeer
from tests.management_api import management_api


class Post(Service):
    @method(one_way=True)
    async def deliver(self, letter: str) -> None: ...

    @method
    async def weigh(self, letter: str) -> int:
        return len(letter)


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


async def test_queues_show_what_waits_and_who_serves(commands: Commands) -> None:
    async with leveret.connect(commands.url) as rabbit:
        async with rabbit.serving(Post()):
            shown = await commands.run("queues", "post.nothing")
            assert [line.split() for line in shown.text.splitlines()[1:]] == [
                ["leveret.post.nothing", "?", "?", "there", "is", "no", "such", "queue"],
                ["leveret.post.deliver", "0", "1"],
                ["leveret.post.weigh", "0", "1"],
            ]
            misspelt = await commands.run("queues", "post.delivr", "psot.weigh", "--json")
            assert misspelt.process.returncode == 0
            assert [queue["note"] for queue in misspelt.json["queues"] if queue["note"]] == [
                "there is no such queue. Did you mean 'post.deliver'?",
                "there is no such queue. Did you mean 'post.weigh'?",
            ]
        await rabbit.send(rabbit.remote(Post).deliver)("a")  # its queue is there, its server gone
        waiting = await commands.run("queues", "post.deliver", "--json")
        assert waiting.json["queues"] == [
            {
                "name": "leveret.post.deliver",
                "ready": 1,
                "consumers": 0,
                "note": "nobody serves it",
            }
        ]


async def test_orphans_are_removed_unless_they_got_a_request_meanwhile(
    commands: Commands, raw: RawPeer
) -> None:
    async with leveret.connect(commands.url) as rabbit, management_api() as api:
        async with rabbit.serving(Post()):
            pass
        await rabbit.send(rabbit.remote(Post).deliver)("a")
        # As RabbitMQ counted before the letter came: it counts every 5 s.
        api.queues = {
            vhost: [
                {"name": f"leveret.post.{name}", "consumers": 0, "messages": 0}
                for name in ("deliver", "weigh")
            ]
            for vhost in ("/", parse_url(commands.url).vhost)
        }
        management = ("--management", api.url.replace("//", "//guest:guest@"))
        listed = await commands.run("queues", "--orphans", *management)
        assert [line.split()[0] for line in listed.text.splitlines()[1:]] == [
            "leveret.post.deliver",
            "leveret.post.weigh",
        ]
        unsaid = await commands.run("queues", "--orphans", "--remove", *management)
        assert unsaid.process.returncode == 2
        assert "give --yes" in "\n".join(unsaid.lines)
        removed = await commands.run("queues", "--orphans", "--remove", "--yes", *management)
        assert removed.text.splitlines()[-1] == "removed leveret.post.weigh"
        assert "leveret.post.deliver is not removed" in removed.error
        left = await commands.run("queues", "post.deliver", "post.weigh", "--json")
        assert [queue["ready"] for queue in left.json["queues"]] == [1, None]


@pytest.mark.embedded_only
async def test_what_orphans_need_is_said(commands: Commands) -> None:
    for args, said in (
        (("--orphans",), "--management http://user:password@host:15672"),
        (("--remove",), "--remove is for --orphans"),
        (("post",), 'a method is named "service.method"'),
    ):
        command = await commands.run("queues", *args)
        assert command.process.returncode == 2
        assert said in " ".join(line.strip("│ ") for line in command.lines)
