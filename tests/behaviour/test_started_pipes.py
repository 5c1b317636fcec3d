"""Started pipes: each stage leaves its outcome in the store, and the pipe outlives its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret import (
    CallHandle,
    Cancelled,
    InvalidArgument,
    NoServer,
    Rabbit,
    RemoteError,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.server.calls.life import State
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer


class Cut(Service):
    """The first stage."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.opened = asyncio.Event()
        self.opened.set()

    @method(timeout=30)
    async def wood(self, tree: str) -> str:
        self.ran.append(tree)
        await self.opened.wait()
        return f"{tree} planks"


class Build(Service):
    """The second stage, which can be held, and the third."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.opened = asyncio.Event()
        self.opened.set()

    @method(timeout=30)
    async def table(self, planks: str) -> str:
        self.ran.append(planks)
        await self.opened.wait()
        if "rotten" in planks:
            raise ValueError("it breaks")
        who = current_call().metadata.get("who", "all")
        current_call().reply_metadata["for"] = who
        return f"table of {planks} for {who}"

    @method(timeout=30, idempotent=True, content_type="text/plain")
    async def length(self, text: str) -> int:
        self.ran.append(text)
        return len(text)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/once.db"


@pytest.fixture
async def cut(host: Rabbit, store: str) -> AsyncIterator[Cut]:
    served = Cut()
    async with host.serving(served, once=store):
        yield served


async def start(rabbit: Rabbit, key: str, tree: str = "oak") -> CallHandle[str]:
    pipe = rabbit.pipe(rabbit.remote(Cut).wood, rabbit.remote(Build).table)
    return await rabbit.start(pipe, key=key)(tree)


def attach(rabbit: Rabbit, key: str) -> CallHandle[str]:
    return rabbit.attach(rabbit.pipe(rabbit.remote(Cut).wood, rabbit.remote(Build).table), key)


async def test_a_started_pipe_outlives_its_client_and_runs_once_per_key(
    client: Rabbit, other_host: Rabbit, rabbitmq_url: str, store: str, cut: Cut
) -> None:
    served = Build()
    served.opened.clear()
    async with other_host.serving(served, once=store):
        async with leveret.connect(rabbitmq_url) as starter:
            caller = starter.with_options(metadata={"who": "me"})
            stages = starter.remote(Cut).wood, starter.remote(Build).table
            three = starter.pipe(*stages, starter.remote(Build).length)
            handle = await caller.start(three, key="k")("oak")
            assert handle.key == "k"
            await until(lambda: served.ran == ["oak planks"], "the second stage runs")
            assert (await handle.peek()).state == "running"
            again = await caller.start(three, key="k")("oak")
        served.opened.set()
        pipe = client.pipe(
            client.remote(Cut).wood, client.remote(Build).table, client.remote(Build).length
        )
        text = "table of oak planks for me"
        assert await client.attach(pipe, "k") == len(text)
        assert again.key == "k"
        assert (await client.attach(pipe, "k").peek()).state == "done"
    assert cut.ran == ["oak"]
    assert served.ran == ["oak planks", text]


async def test_an_error_of_a_started_pipe_says_at_which_stage_it_was(
    client: Rabbit, other_host: Rabbit, store: str, cut: Cut
) -> None:
    async with other_host.serving(Build(), once=store):
        handle = await start(client, "k", "rotten oak")
        with pytest.raises(RemoteError, match="it breaks") as caught:
            await handle
        assert (caught.value.stage, caught.value.method) == (2, "build.table")
        with pytest.raises(InvalidArgument, match="no call was started with the key 'other'"):
            await attach(client, "other")
        assert (await attach(client, "other").peek()).state == "not found"


async def test_a_started_pipe_is_cancelled_wherever_it_is(
    client: Rabbit, other_host: Rabbit, store: str, cut: Cut
) -> None:
    served = Build()
    served.opened.clear()
    async with other_host.serving(served, once=store):
        running = await start(client, "running")
        await until(lambda: len(served.ran) == 1, "the second stage runs")
        await running.cancel()
        with pytest.raises(Cancelled) as caught:
            await running
        assert caught.value.stage == 2


async def test_what_is_recorded_is_passed_on_once_the_next_stage_is_back(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer, store: str
) -> None:
    """Its queue was deleted with its servers; and the server that was to pass it on stops."""
    one, two, built = Cut(), Cut(), Build()
    one.opened.clear()
    first = await host.serving(one, once=store)
    async with other_host.serving(Build(), once=store):
        handle = await start(client, "k")
        await until(lambda: one.ran == ["oak"], "the first stage runs")
    await raw.delete("leveret.build.table")
    one.opened.set()
    await until(
        lambda: [call.state for call in first.calls()] == [State.PASSING], "it is being passed on"
    )
    async with other_host.serving(two, once=store):
        await first.close()
        async with host.serving(built, once=store):
            assert await handle == "table of oak planks for all"
    assert (one.ran, two.ran, built.ran) == (["oak"], [], ["oak planks"])


async def test_stages_whose_servers_cannot_remember_are_refused_before_anything_is_sent(
    client: Rabbit, other_host: Rabbit, cut: Cut
) -> None:
    async with other_host.serving(Build()):
        with pytest.raises(Unimplemented, match="not all of its servers can remember"):
            await start(client, "k")
    assert not cut.ran


async def test_a_pipe_that_cannot_be_started_is_expected_at_none_of_its_stages(
    client: Rabbit, cut: Cut
) -> None:
    short = client.with_options(timeout=0.3)
    pipe = short.pipe(client.remote(Cut).wood, client.remote(Build).table)
    with pytest.raises(NoServer, match=r"build\.table") as caught:
        await client.start(pipe, key="order-1")("oak")
    assert caught.value.executed == "no"
    first = client.attach(client.remote(Cut).wood, "order-1/1")
    assert (await first.peek()).state == "not found"
    assert not cut.ran


async def test_a_start_that_is_cancelled_before_the_request_is_sent_leaves_nothing(
    client: Rabbit, cut: Cut
) -> None:
    first = client.attach(client.remote(Cut).wood, "order-1/1")
    starting = asyncio.create_task(start(client, "order-1"))  # looks for a server of the second

    async def state() -> str:
        return (await first.peek()).state

    await until_found(state, "waiting", "the first stage is expected")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await state() == "not found"
    assert not cut.ran


async def test_pipes_of_the_same_methods_have_options_of_their_own(
    client: Rabbit, other_host: Rabbit, store: str, cut: Cut
) -> None:
    """They share what is made of their methods, and neither metadata nor where that arrives."""
    async with other_host.serving(Build(), once=store):
        for who in ("Ann", "Bob"):
            back: dict[str, str] = {}
            caller = client.with_options(metadata={"who": who}, reply_metadata=back, timeout=30)
            pipe = caller.pipe(caller.remote(Cut).wood, caller.remote(Build).table)
            handle = await caller.start(pipe, key=f"for {who}")("oak")
            assert await handle == f"table of oak planks for {who}"
            assert back == {"for": who}
    assert cut.ran == ["oak", "oak"]
