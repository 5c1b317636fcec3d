"""Who calls: the user that the broker has verified, and nobody whom a caller makes up."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

import leveret
from leveret import Rabbit, Service, current_call, method
from leveret.errors import LeveretError
from leveret.server.outbox import Outbox
from leveret.transport.channel import Channel
from leveret.wire.message import Incoming
from leveret.wire.native.headers import ON_BEHALF_OF, WAITS
from tests.behaviour.patience import PATIENCE, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.users import Users
from tests.brokers import Broker


class Door(Service):
    """Tells who knocks."""

    @method(idempotent=True)
    async def who(self) -> tuple[str, str]:
        call = current_call()
        return call.user, call.caller

    @method
    def who_to_a_thread(self) -> str:
        return current_call().user


class BackDoor(Service):
    """Tells a process of its own, which not each server of a test need start."""

    @method(executor="process", concurrency=1)
    def who_to_a_process(self) -> str:
        return current_call().user


class House(Service):
    """Asks the door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @method
    async def asks(self) -> list[str]:
        return [current_call().user, (await self._door.who())[0]]


@pytest.fixture
def users(broker: Broker) -> Users:
    return Users(broker)


def name(role: str) -> str:
    """A name that no other test has: users are the whole broker's, not the vhost's."""
    return f"{role}-{secrets.token_hex(4)}"


async def test_the_user_is_who_has_logged_in(users: Users, host: Rabbit) -> None:
    alice = name("alice")
    async with host.serving(Door()), users.connect(alice, name="Bob") as rabbit:
        assert await rabbit.remote(Door).who() == (alice, "Bob")
        assert await rabbit.call("door.who") == [alice, "Bob"]
        assert await host.remote(Door).who() == ("guest", "")


async def test_handlers_off_the_loop_see_the_user_too(users: Users, host: Rabbit) -> None:
    alice = name("alice")
    async with host.serving(Door(), BackDoor()), users.connect(alice) as rabbit:
        assert await rabbit.remote(Door).who_to_a_thread() == alice
        assert await rabbit.remote(BackDoor).with_options(timeout=30).who_to_a_process() == alice


async def test_clients_of_the_tutorials_protocol_have_users_as_well(
    users: Users, host: Rabbit
) -> None:
    class Named(Service):
        @method
        async def who(self, ask: str) -> str:
            return f"{ask} {current_call().user}"

    alice = name("alice")
    async with (
        host.serving(Named(), plain={"who_queue": "named.who"}),
        users.connect(alice) as rabbit,
    ):
        assert await rabbit.plain("who_queue").call("It is") == f"It is {alice}"


async def test_a_call_that_a_handler_makes_comes_from_its_server(
    users: Users, host: Rabbit
) -> None:
    alice, maid = name("alice"), name("maid")
    async with (
        host.serving(Door()),
        users.connect(maid) as middle,
        middle.serving(House(middle.remote(Door))),
        users.connect(alice) as rabbit,
    ):
        assert await rabbit.remote(House).asks() == [alice, maid]


async def test_a_request_that_names_no_user_has_none(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    async with host.serving(Door()):
        raw.request("door.who", b"{}", app_id="admin")
        assert (await raw.reply()).body == b'["","admin"]'


async def test_a_client_may_keep_its_name_to_itself(users: Users, host: Rabbit) -> None:
    async with host.serving(Door()), users.connect(name("alice"), user_id="") as rabbit:
        assert await rabbit.remote(Door).who() == ("", "")


async def test_nobody_can_send_as_another(users: Users, host: Rabbit, broker: Broker) -> None:
    mallory = name("mallory")
    raw = await RawPeer.open(users.add(mallory))
    async with host.serving(Door()):
        raw.request("door.who", b"{}", user_id="guest", reply_to="leveret.reply.x")
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(LeveretError, match="user_id property set to 'guest'"):
                await raw.flushed()
        await raw.close()
        async with leveret.connect(users.url(mallory), user_id="guest", reconnect=False) as rabbit:
            with pytest.raises(LeveretError, match="user_id property set to 'guest'"):
                await rabbit.remote(Door).who()


async def test_only_a_server_of_the_same_user_is_believed_on_whose_behalf_it_sends(
    users: Users, host: Rabbit
) -> None:
    mallory = name("mallory")
    forger = await RawPeer.open(users.add(mallory))
    colleague = await RawPeer.open(users.url("guest", "guest"))
    forged: dict[str, Any] = {"headers": {ON_BEHALF_OF: "admin"}}
    async with host.serving(Door()):
        await forger.listen()
        forger.request("door.who", b"{}", **forged)
        assert (await forger.reply()).body == b'["",""]'
        forger.request("door.who", b"{}", user_id=mallory, **forged)
        assert (await forger.reply()).body == f'["{mallory}",""]'.encode()
        await colleague.listen()
        colleague.request("door.who", b"{}", **forged)
        assert (await colleague.reply()).body == b'["",""]'
        colleague.request("door.who", b"{}", user_id="guest", **forged)
        assert (await colleague.reply()).body == b'["admin",""]'
        for nonsense in (7, None, ["admin"], {"user": "admin"}):
            colleague.request("door.who", b"{}", user_id="guest", headers={ON_BEHALF_OF: nonsense})
            assert (await colleague.reply()).body == b'["guest",""]'
    await forger.close()
    await colleague.close()


async def test_further_servers_can_be_trusted_by_their_names(users: Users, host: Rabbit) -> None:
    blue, green = name("blue"), name("green")
    peers = [await RawPeer.open(users.add(user)) for user in (blue, green)]
    async with host.serving(Door(), trusted_servers=["blue-*"]):
        for peer, user, seen in ((peers[0], blue, "alice"), (peers[1], green, green)):
            await peer.listen()
            peer.request("door.who", b"{}", user_id=user, headers={ON_BEHALF_OF: "alice"})
            assert (await peer.reply()).body == f'["{seen}",""]'.encode()
            await peer.close()


# -- a request that a draining server hands back ---------------------------------------------------


class HeldDrain:
    """A server that drains, still gets requests, and hands them back, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._handed_back = 0
        self._go_on = asyncio.Event()
        hand_back = Outbox.hand_back
        cancel_consumer = Channel.cancel_consumer

        def note(
            outbox: Outbox, call: Incoming, seconds: float, user: str, attempts: int | None
        ) -> bool:
            self._handed_back += 1
            return hand_back(outbox, call, seconds, user, attempts)

        async def wait(channel: Channel, tag: str) -> None:
            await self._go_on.wait()
            await cancel_consumer(channel, tag)

        monkeypatch.setattr(Outbox, "hand_back", note)
        monkeypatch.setattr(Channel, "cancel_consumer", wait)

    async def pass_on(self, host: Rabbit, *calls: Any) -> list[asyncio.Task[Any]]:
        """Make the calls, and have a server of `host` hand all of them back more than once."""
        async with host.serving(Door()) as server:
            drain = asyncio.create_task(server.drain())
            await until(lambda: all(it.draining for it in server.methods.values()), "it drains")
            tasks = [asyncio.create_task(call) for call in calls]
            await until(lambda: self._handed_back >= 3 * len(tasks), "they are handed back")
            self._go_on.set()
            await drain
        return tasks


@pytest.fixture
def held_drain(monkeypatch: pytest.MonkeyPatch) -> HeldDrain:
    return HeldDrain(monkeypatch)


async def test_a_request_keeps_its_user_when_it_is_handed_back(
    users: Users, host: Rabbit, other_host: Rabbit, held_drain: HeldDrain
) -> None:
    alice = name("alice")
    async with users.connect(alice) as rabbit:
        waiting = rabbit.with_options(wait_for_server=True)
        own = other_host.with_options(wait_for_server=True)
        calls = await held_drain.pass_on(host, waiting.call("door.who"), own.call("door.who"))
        async with other_host.serving(Door()):
            assert await asyncio.gather(*calls) == [[alice, ""], ["guest", ""]]


async def test_a_request_without_a_user_gets_none_by_being_handed_back(
    users: Users, host: Rabbit, other_host: Rabbit, held_drain: HeldDrain
) -> None:
    async with users.connect(name("alice"), user_id="") as rabbit:
        waiting = rabbit.with_options(wait_for_server=True)
        calls = await held_drain.pass_on(host, waiting.call("door.who"))
        async with other_host.serving(Door()):
            assert await asyncio.gather(*calls) == [["", ""]]


async def test_a_forged_header_does_not_survive_being_handed_back(
    users: Users, host: Rabbit, other_host: Rabbit, held_drain: HeldDrain
) -> None:
    mallory = name("mallory")
    forger = await RawPeer.open(users.add(mallory))
    await forger.listen()

    async def forge() -> None:
        for user_id in (mallory, None):
            forger.request(
                "door.who",
                b"{}",
                user_id=user_id,
                headers={ON_BEHALF_OF: "admin", WAITS: True},
                expiration="30000",
            )

    calls = await held_drain.pass_on(host, forge())
    await asyncio.gather(*calls)
    async with other_host.serving(Door()):
        answers: set[bytes | None] = set()
        while len(answers) < 2:
            reply = await forger.reply()
            if reply.properties.type == "claim":  # it is asked first whether it still waits
                forger.control(str(reply.properties.reply_to), "go", correlation_id="raw-1")
            else:
                assert reply.properties.type == "result"
                answers.add(reply.body)
    assert answers == {f'["{mallory}",""]'.encode(), b'["",""]'}
    await forger.close()


async def test_between_servers_of_two_users_the_caller_is_known_where_they_trust_each_other(
    users: Users, held_drain: HeldDrain
) -> None:
    alice, blue, green = name("alice"), name("blue"), name("green")
    async with (
        users.connect(alice) as rabbit,
        users.connect(blue) as first,
        users.connect(green) as second,
    ):
        waiting = rabbit.with_options(wait_for_server=True)
        calls = await held_drain.pass_on(first, waiting.call("door.who"), waiting.call("door.who"))
        async with second.serving(Door(), trusted_servers=[blue]):
            assert await asyncio.gather(*calls) == [[alice, ""], [alice, ""]]
