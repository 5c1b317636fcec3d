"""Servers of older versions of Leveret, as they answered: what callers and operators are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

import leveret
from leveret import Rabbit, Service, Unimplemented, method
from leveret.amqp.events import Delivery
from tests.behaviour.cli_commands import Commands
from tests.behaviour.patience import at_once
from tests.behaviour.raw import RawPeer


class Cache(Service):
    """The older server has the same class."""

    @method(idempotent=True)
    async def add(self, key: str) -> int:
        return len(key)


INSTANCE = "01d0001d"
IDENTITY: dict[str, object] = {"instance": INSTANCE, "name": "old:1", "services": ["cache"]}
"""What servers said of themselves before 0.2.0."""
IDENTITY_0_2_0 = {**IDENTITY, "calls_for_all": True, "queues": {"cache": "leveret.cache.add"}}


@asynccontextmanager
async def older_server(
    raw: RawPeer, answers: dict[str, dict[str, object]], instance: str = INSTANCE
) -> AsyncIterator[None]:
    """A server that answers these words, and passes over all other ones, as older servers did."""

    def answer(message: Delivery) -> None:
        sent = message.properties
        if sent.type == "call":
            # A call for one server came by another key than it knew.
            refused = {
                "code": "UNIMPLEMENTED",
                "message": f"this server has no {message.routing_key}.{sent.headers['method']}",  # type: ignore[index]
                "executed": "no",
            }
            body = msgspec.json.encode(refused)
            raw.answer(message, body, type="error", headers={"instance": instance})
        elif sent.type in answers:
            raw.answer(message, msgspec.json.encode(answers[sent.type]))

    await raw.take("leveret.cache.add")
    declared = await raw.channel.declare_queue("", exclusive=True)
    for key in ("all", "cache", f"cache.{instance}"):
        await raw.channel.bind_queue(declared.queue or "", "leveret.control", key)
    await raw.channel.consume(declared.queue or "", answer, no_ack=True)
    yield


@pytest.fixture
async def topology(rabbitmq_url: str) -> None:
    """The exchanges and the queue, which older servers declared as those of today do."""
    async with leveret.connect(rabbitmq_url) as rabbit, rabbit.serving(Cache()):
        pass


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


@pytest.mark.usefixtures("topology")
async def test_a_server_of_0_2_0_that_is_to_run_a_call_alone_is_too_old_for_that(
    client: Rabbit, raw: RawPeer
) -> None:
    async with older_server(raw, {"ping": IDENTITY_0_2_0}), at_once():
        with pytest.raises(Unimplemented) as refused:
            await client.ask_one(client.remote(Cache).add, INSTANCE)("k")
    error = refused.value
    assert str(error) == "cache.add: its version of Leveret does not know these calls"
    assert error.executed == "no"


@pytest.mark.usefixtures("topology")
@pytest.mark.parametrize(
    ("identity", "what_to_do"),
    [(IDENTITY, "PostgreSQL, by Leveret 0.2.0 or newer"), (IDENTITY_0_2_0, "PostgreSQL")],
)
async def test_a_start_at_older_servers_says_what_they_lack(
    client: Rabbit, raw: RawPeer, identity: dict[str, object], what_to_do: str
) -> None:
    async with older_server(raw, {"info": {**identity, "schemas": {}}}), at_once():
        with pytest.raises(Unimplemented) as refused:
            await client.start(client.remote(Cache).add, key="k")("k")
    assert "not all of its servers can remember started calls (old:1)" in refused.value.message
    assert refused.value.message.endswith(what_to_do)
    assert refused.value.executed == "no"


@pytest.mark.usefixtures("topology")
async def test_servers_that_do_not_know_the_question_are_not_told_as_idle(
    raw: RawPeer, commands: Commands
) -> None:
    async with older_server(raw, {"ping": IDENTITY}):
        everywhere = await commands.run("calls", "--timeout", "1")
        assert everywhere.error == "leveret: not complete: 0 of 1 servers of cache answered"
        assert await everywhere.ends() == 7
        as_json = await commands.run("calls", "--timeout", "1", "--json")
        assert (as_json.json["complete"], as_json.json["missing"]) == (False, {"cache": 1})
        named = await commands.run("calls", "cache", "--timeout", "1")
        assert named.error == "leveret: not complete: 0 of 1 servers of cache answered"
        nobody = await commands.run("calls", "cachet", "--timeout", "1")
        assert "no server of the service 'cachet' answers. Did you mean 'cache'?" in nobody.error
