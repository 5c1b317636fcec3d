"""`leveret ls`, `ping`, `stats`, `calls`, `cancel` and `map`: what they show of servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import leveret
from leveret import Cancelled, RemoteError, Service, method
from tests.behaviour.cli_commands import Command, Commands
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate


class Bank(Service, version="2.0"):
    @method
    async def move(self, amount: int) -> int:
        if amount < 0:
            raise ValueError("no such amount")
        return amount

    @method
    async def close(self) -> None: ...


class OtherBank(Service, name="bank", version="2.1"):
    @method
    async def move(self, amount: int, currency: str = "EUR") -> int:
        return amount

    @method
    async def close(self) -> None: ...


class Till(Service):
    def __init__(self, rabbit: leveret.Rabbit) -> None:
        self._bank = rabbit.remote(Bank)

    @method
    async def pay(self, amount: int) -> int:
        return await self._bank.move(amount)


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


async def shown(commands: Commands, is_wanted: Callable[[Command], bool], *args: str) -> Command:
    """What a command shows, once that is what is wanted.

    Where services have nothing to do with each other, nobody knows how many there are: on a busy
    machine a server may answer when it is no longer waited for.
    """
    for _ in range(20):
        command = await commands.run(*args)
        if is_wanted(command):
            return command
    raise AssertionError(f"it never showed what is wanted: {command.text}; {command.lines}")


async def test_services_calls_and_callers_are_shown(commands: Commands) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        one = await enter(leveret.connect(commands.url, name="till:1"))
        two = await enter(leveret.connect(commands.url, name="bank:1"))
        web = await enter(leveret.connect(commands.url, name="web"))
        bank = await enter(two.serving(Bank()))
        await enter(one.serving(Till(one)))
        till = web.remote(Till)
        assert await till.pay(1) == 1
        with pytest.raises(RemoteError):
            await till.pay(-1)

        listed = await shown(commands, lambda it: len(it.text.splitlines()) == 3, "ls")
        assert listed.process.returncode == 0
        heads, first, second = listed.text.splitlines()
        assert heads.split() == ["SERVICE", "VERSION", "INSTANCES", "CONTRACT", "HOSTS"]
        assert first.split()[:3] == ["bank", "2.0", "1"]
        assert second.split()[:3] == ["till", "-", "1"]
        pinged = await commands.run("ping", "bank", "--json")
        assert pinged.json["complete"] is True
        (pong,) = pinged.json["servers"]
        assert (pong["instance"], pong["name"]) == (bank.instance, "bank:1")
        assert pong["seconds"] > 0

        stats = await commands.run("stats", "bank", "--json")
        assert stats.json["methods"]["bank.move"]["handled"] == {"OK": 1, "INTERNAL": 1}
        assert stats.json["total"]["calls"] == 2
        one_method = await commands.run("stats", "bank.move", "--instances")
        _, line, *details = one_method.text.splitlines()
        assert line.split()[:5] == ["bank:1", bank.instance, "bank.move", "2", "1"]
        assert line.endswith("INTERNAL 1")
        assert [words.split() for words in details[1:3]] == [
            ["CALLER", "CALLS", "FAILED"],
            ["till:1", "2", "1"],
        ]
        assert "INTERNAL: ValueError: no such amount (call " in details[-1]

        top = await commands.run("top", "bank", "--interval", "0.1")
        heads, first, second = top.text.splitlines()
        assert heads.split()[:3] == ["METHOD", "CALLS/S", "FAILED/S"]
        assert (first.split()[0], second.split()[0]) == ("bank.close", "bank.move")

        def has_rates(command: Command) -> bool:
            edges = command.json["edges"]
            return [edge["traffic"]["per_second"] for edge in edges] == [0, 0]

        drawn = await shown(commands, has_rates, "map", "--format", "json", "--interval", "0.1")
        assert [(edge["caller"], edge["service"]) for edge in drawn.json["edges"]] == [
            ("till", "bank"),
            ("web", "till"),
        ]
        assert drawn.json["edges"][0]["traffic"]["failed"] == 1
        hit = await shown(
            commands, lambda it: len(it.text.splitlines()) == 3, "map", "--impact", "bank"
        )
        assert hit.text.splitlines()[-1].split() == [
            "web",
            "*",
            "2",
            "web",
            "->",
            "till",
            "->",
            "bank",
        ]


@pytest.mark.embedded_only
async def test_an_unknown_name_is_answered_by_the_nearest(commands: Commands) -> None:
    nothing = await commands.run("ls")
    assert (nothing.text, nothing.process.returncode) == ("", 0)
    assert nothing.error == "leveret: no server answers"
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Bank()):
        for args, code, meant in (
            (("ls", "bnk"), 5, "no service is named 'bnk'. Did you mean 'bank'?"),
            (("ping", "bnk"), 5, "Did you mean 'bank'?"),
            (("stats", "bank.mve"), 4, "Did you mean 'move'?"),
            (("map", "--impact", "bnk"), 5, "Did you mean 'bank'?"),
        ):
            command = await commands.run(*args)
            assert meant in command.error
            assert "executed" not in command.error
            assert (command.text, command.process.returncode) == ("", code)


async def test_what_is_not_all_is_not_shown_as_all(commands: Commands, raw: RawPeer) -> None:
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Bank()):
        # Consumes the queues as a server does, and listens to no questions.
        for queue in ("leveret.bank.move", "leveret.bank.close"):
            await raw.take(queue)
        told = "leveret: not complete: 1 of 2 servers of bank answered"
        listed = await shown(commands, lambda it: it.lines == [told], "ls", "--timeout", "2")
        assert len(listed.text.splitlines()) == 2
        assert listed.process.returncode == 7
        arguments = ("stats", "bank", "--json", "--timeout", "2")
        stats = await shown(commands, lambda it: it.out.startswith(b"{"), *arguments)
        assert stats.json["complete"] is False
        assert (stats.json["answered"], stats.json["missing"]) == (1, {"bank": 1})
        assert stats.process.returncode == 7


async def test_contracts_that_differ_are_marked(commands: Commands) -> None:
    async with (
        leveret.connect(commands.url) as one,
        leveret.connect(commands.url) as two,
        one.serving(Bank()),
        two.serving(OtherBank()),
    ):
        listed = (await commands.run("ls")).text.splitlines()[1:]
        assert [line.split()[1] for line in listed] == ["2.0", "2.1"]
        assert all("(differs)" in line for line in listed)


async def test_calls_that_run_are_listed_and_cancelled(commands: Commands) -> None:
    gate = Gate()
    async with leveret.connect(commands.url, name="desk") as rabbit, rabbit.serving(gate):
        assert (await commands.run("calls", "gate")).error == "leveret: no server has a call"
        remote = rabbit.remote(Gate)
        tasks = [asyncio.create_task(remote.once(number)) for number in (1, 2)]
        for _ in tasks:
            await gate.started.get()

        shown = (await commands.run("calls", "gate")).text.splitlines()
        assert len(shown) == 3
        assert "gate.once" in shown[1]
        assert " running " in shown[1]
        assert " desk " in shown[1]
        ids = [line.split()[0] for line in shown[1:]]
        cancelled = await commands.run("cancel", *ids, "--timeout", "30")
        assert sorted(cancelled.text.splitlines()) == sorted(f"cancelled {one}" for one in ids)
        assert cancelled.process.returncode == 0
        unknown = await commands.run("cancel", "nothing", "--timeout", "0.1")
        assert "has the call nothing" in unknown.error
        assert unknown.process.returncode == 3
        for task in tasks:
            with pytest.raises(Cancelled):
                await task


@pytest.mark.embedded_only
async def test_a_hundred_servers_are_listed_whole(commands: Commands) -> None:
    async with AsyncExitStack() as stack:
        rabbit = await stack.enter_async_context(leveret.connect(commands.url))
        for _ in range(100):
            await stack.enter_async_context(rabbit.serving(Bank()))
        listed = await shown(
            commands, lambda it: it.json["answered"] == 100, "ls", "--json", "--timeout", "30"
        )
        assert listed.json["complete"] is True
        assert len(listed.json["services"][0]["servers"]) == 100
