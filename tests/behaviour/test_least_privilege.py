"""Users with the rights that docs/security.md gives them, and what they cannot do with these."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

import leveret
from leveret import (
    ChannelClosed,
    PermissionDenied,
    Rabbit,
    Reconnect,
    Service,
    current_call,
    method,
)
from leveret.amqp import methods
from leveret.amqp.properties import Properties
from leveret.transport.channel import Channel
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.users import PASSWORD, Users
from tests.brokers import Broker
from tests.docs.fences import table

SECURITY = "docs/security.md"


class Shop(Service):
    """What the client may call, and the server serves."""

    @method
    async def buy(self, sku: str) -> str:
        return f"{sku} for {current_call().user}"


class Vault(Service):
    """What the client may not call."""

    def __init__(self) -> None:
        self.opened = 0

    @method(idempotent=True)
    async def open(self) -> str:
        self.opened += 1
        return "gold"


class People:
    """The users of the document's table, each under a name that no other test has."""

    def __init__(self, broker: Broker) -> None:
        self.users = Users(broker)
        self._names: dict[str, str] = {}
        for who, *patterns in table(SECURITY, "Rights on the broker"):
            role = who.strip("`")
            name = self._names[role] = f"{role}-{secrets.token_hex(4)}"
            rights = (re.sub(rf"\b{role}\b", name, cell.strip("`")) for cell in patterns)
            configure, write, read = rights
            broker.add_user(name, PASSWORD, configure=configure, write=write, read=read)

    def __getitem__(self, role: str) -> str:
        return self._names[role]

    def url(self, role: str) -> str:
        return self.users.url(self[role])


@pytest.fixture
def people(broker: Broker, host: Rabbit) -> People:
    """`host` is the operator: with its connection the exchanges are there."""
    return People(broker)


@pytest.fixture
async def server(people: People) -> AsyncIterator[Rabbit]:
    async with leveret.connect(people.url("shop-server")) as rabbit:
        yield rabbit


@pytest.fixture
async def observer(people: People) -> AsyncIterator[Rabbit]:
    async with leveret.connect(people.url("observer")) as rabbit:
        yield rabbit


@pytest.fixture
async def customer(people: People) -> AsyncIterator[Rabbit]:
    async with leveret.connect(people.url("shop-client")) as rabbit:
        yield rabbit


class Intruder:
    """One of the users, with a client of its own making."""

    def __init__(self, raw: RawPeer) -> None:
        self.raw = raw

    @classmethod
    async def log_in(cls, people: People, role: str) -> Intruder:
        return cls(await RawPeer.open(people.url(role)))

    async def refused(self, *methods: Any, code: int = 403) -> None:
        """Each of these methods ends its channel."""
        for one in methods:
            channel = await self.raw.connection.open_channel()
            with pytest.raises(ChannelClosed) as caught:
                await channel.call(one)
            assert caught.value.reply_code == code, f"{one.name}: {caught.value}"

    async def refused_publish(self, exchange: str, key: str, **properties: Any) -> str:
        """The channel is closed when this is published; returns why."""
        channel: Channel = await self.raw.connection.open_channel()
        channel.publish(exchange, key, Properties(**properties), b"{}")
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ChannelClosed) as caught:
                await channel.call(methods.Basic.Qos(prefetch_count=1))
        return str(caught.value)

    async def close(self) -> None:
        await self.raw.close()


@pytest.fixture
async def intruder(people: People) -> AsyncIterator[Intruder]:
    """Logged in as the client."""
    raw = await Intruder.log_in(people, "shop-client")
    yield raw
    await raw.close()


async def test_a_client_calls_the_one_service_and_no_other(
    people: People, host: Rabbit, server: Rabbit, customer: Rabbit
) -> None:
    vault = Vault()
    async with (
        server.serving(Shop(), allow={"*": ["shop-client-*"]}),
        host.serving(vault, allow={"*": ["owner"]}),
    ):
        assert await customer.remote(Shop).buy("tea") == f"tea for {people['shop-client']}"
        shop = await customer.discover("shop", timeout=PATIENCE)
        assert await shop.buy("tea") == f"tea for {people['shop-client']}"
        with pytest.raises(PermissionDenied, match="may not call this method"):
            await customer.remote(Vault).open()
    assert vault.opened == 0


async def test_a_client_cannot_pass_for_another(
    people: People, host: Rabbit, intruder: Intruder
) -> None:
    vault = Vault()
    own = people["shop-client"]
    raw = intruder.raw
    raw.reply_queue = f"leveret.reply.{own}.{secrets.token_urlsafe(16)}"
    await raw.channel.declare_queue(raw.reply_queue, arguments={"x-expires": 60_000})
    await raw.channel.consume(raw.reply_queue, raw._replies.put_nowait, no_ack=True)
    async with host.serving(vault, allow={"*": ["owner", "guest"]}):
        said = await intruder.refused_publish("leveret", "vault.open", user_id="guest")
        assert "user_id property set to 'guest'" in said
        for properties in (
            {},
            {"app_id": "owner"},
            {"user_id": own},
            {"user_id": own, "headers": {"on-behalf-of": "owner"}},
            {"headers": {"on-behalf-of": "owner"}},
            # By way of another service's request, which the broker copies, or sends back.
            {"user_id": own, "headers": {"CC": ["leveret.vault.open"], "BCC": ["vault.open"]}},
        ):
            raw.request("vault.open", b"{}", **properties)
            assert (await raw.failure())["code"] == "PERMISSION_DENIED"
    assert vault.opened == 0


async def test_a_client_can_do_nothing_else_on_the_broker(
    people: People, host: Rabbit, server: Rabbit, intruder: Intruder
) -> None:
    others = host.calls.reply_queue.name
    async with server.serving(Shop()), host.serving(Vault()):
        await intruder.refused(
            # read requests
            methods.Basic.Consume(queue="leveret.shop.buy"),
            methods.Basic.Get(queue="leveret.vault.open"),
            methods.Queue.Purge(queue="leveret.shop.buy"),
            methods.Queue.Delete(queue="leveret.shop.buy"),
            # read the replies of others
            methods.Basic.Consume(queue=others),
            methods.Basic.Get(queue=others),
            methods.Queue.Delete(queue=others),
            # make things
            methods.Queue.Declare(queue="leveret.shop.steal", durable=True),
            methods.Queue.Declare(queue="", exclusive=True),
            methods.Queue.Declare(queue=f"leveret.reply.{secrets.token_urlsafe(16)}"),
            methods.Queue.Declare(queue="leveret.reply.guest.x", durable=True),
            methods.Exchange.Declare(exchange="mine"),
            methods.Exchange.Delete(exchange="leveret"),
        )
        # forge replies, or messages to whatever queue
        assert "amq.default" in await intruder.refused_publish("", others, type="result")
        assert "amq.direct" in await intruder.refused_publish("amq.direct", "x")


async def test_a_client_cannot_get_copies_of_requests(people: People, intruder: Intruder) -> None:
    own = f"leveret.reply.{people['shop-client']}.{secrets.token_urlsafe(16)}"
    await intruder.raw.declare(own, x_expires=60_000)
    for exchange in ("leveret", "leveret.control"):
        await intruder.refused(
            methods.Queue.Bind(queue=own, exchange=exchange, routing_key="vault.open")
        )


async def test_an_observer_sees_all_servers_and_can_do_nothing(
    people: People, host: Rabbit, server: Rabbit, customer: Rabbit, observer: Rabbit
) -> None:
    vault, allow = Vault(), {"*": [people["shop-client"]]}
    async with server.serving(Shop(), allow=allow) as shop, host.serving(vault, allow=allow):
        await customer.remote(Shop).buy("tea")
        seen = await observer.servers(timeout=PATIENCE)
        assert {name for one in seen.servers for name in one.services} == {"shop", "vault"}
        assert seen.is_complete
        assert {pong.server.instance for pong in (await observer.ping(Shop)).servers} == {
            shop.instance
        }
        stats = await observer.stats(timeout=PATIENCE)
        assert stats.methods()["shop.buy"].handled == {"OK": 1}
        assert "buy" in dir(await observer.discover("shop"))

        with pytest.raises(PermissionDenied):
            await observer.remote(Vault).open()
        asked = await observer.ask_all(observer.remote(Vault).open)()
        assert [error.code for error in asked.errors.values()] == ["PERMISSION_DENIED"]
        assert not asked.results
        with pytest.raises(PermissionDenied):
            await observer.running_calls(timeout=PATIENCE)
        with pytest.raises(PermissionDenied):
            await observer.stop_calls(["any"], timeout=3)  # it waits so long for more answers
        with pytest.raises(PermissionDenied):
            await observer.drain_server(shop.instance, timeout=PATIENCE)
        assert (shop.unready, vault.opened) == ("", 0)
    raw = await Intruder.log_in(people, "observer")
    queue = "leveret.shop.buy"
    await raw.refused(
        methods.Queue.Declare(queue="mine"),
        methods.Queue.Delete(queue=queue),
        methods.Queue.Purge(queue=queue),
        methods.Basic.Consume(queue=queue),
        methods.Queue.Bind(queue=queue, exchange="leveret", routing_key="shop.buy"),
    )
    for exchange in ("leveret", ""):
        await raw.refused_publish(exchange, queue)
    await raw.close()


async def test_a_client_cannot_serve(customer: Rabbit) -> None:
    with pytest.raises(PermissionDenied):
        async with customer.serving(Shop()):
            pass


async def test_a_server_cannot_read_the_replies_of_others(
    people: People, host: Rabbit, server: Rabbit, customer: Rabbit
) -> None:
    intruder = await Intruder.log_in(people, "shop-server")
    async with server.serving(Shop()), host.serving(Vault()):
        # It has learnt the name from a request.
        assert await customer.remote(Shop).buy("tea")
        for others in (customer.calls.reply_queue.name, host.calls.reply_queue.name):
            await intruder.refused(
                methods.Basic.Consume(queue=others),
                methods.Basic.Get(queue=others),
                methods.Queue.Purge(queue=others),
                methods.Queue.Delete(queue=others),
                methods.Queue.Bind(queue=others, exchange="leveret", routing_key="x"),
            )
        await intruder.refused(
            methods.Basic.Consume(queue="leveret.vault.open"),
            methods.Basic.Get(queue="leveret.vault.open"),
            methods.Queue.Delete(queue="leveret.vault.open"),
        )
    await intruder.close()


async def test_a_server_serves_its_own_service_alone_and_may_call(
    people: People, server: Rabbit, host: Rabbit
) -> None:
    async with server.serving(Shop()), host.serving(Vault(), allow={"*": ["shop-server-*"]}):
        assert await server.remote(Shop).buy("tea") == f"tea for {people['shop-server']}"
        assert await server.remote(Vault).open() == "gold"
    with pytest.raises(PermissionDenied):
        async with server.serving(Vault()):
            pass


async def test_a_server_cannot_pass_for_its_caller_at_another_service(
    people: People, host: Rabbit
) -> None:
    """It is believed by servers that share its user, and by those that trust it: not by others."""
    vault = Vault()
    intruder = await Intruder.log_in(people, "shop-server")
    own = people["shop-server"]
    await intruder.raw.listen()
    async with host.serving(vault, allow={"*": ["owner"]}):
        intruder.raw.request("vault.open", b"{}", user_id=own, headers={"on-behalf-of": "owner"})
        assert (await intruder.raw.failure())["code"] == "PERMISSION_DENIED"
        # It may write to any queue, but not as another.
        intruder.raw.channel.publish(
            "",
            "leveret.vault.open",
            Properties(user_id=own, correlation_id="1", reply_to=intruder.raw.reply_queue),
            b"{}",
        )
        assert (await intruder.raw.failure())["code"] == "PERMISSION_DENIED"
    assert vault.opened == 0
    await intruder.close()


async def test_a_server_cannot_guess_the_ids_of_calls_to_others(
    host: Rabbit, customer: Rabbit, server: Rabbit
) -> None:
    ids: list[str] = []

    class Ids(Service, name="shop"):
        @method
        async def buy(self, sku: str) -> str:
            ids.append(current_call().id)
            return sku

    async with server.serving(Ids()):
        for _ in range(3):
            await customer.remote(Shop).buy("tea")
    assert len(set(ids)) == 3
    assert all(len(one) == 16 for one in ids)
    assert len({one[:4] for one in ids}) == 3, "ids have a part in common that tells the next"


# -- what the broker's permissions cannot prevent, as docs/security.md admits ----------------------


async def test_limit_whoever_may_send_requests_can_reach_any_queue_of_the_vhost(
    people: People, host: Rabbit, intruder: Intruder, raw: RawPeer
) -> None:
    """A request that no server takes is sent back to the queue that it names itself."""
    await raw.declare("another-application")
    async with host.serving(Vault()):
        pass
    intruder.raw.request(
        "vault.open",
        b"surprise",
        user_id=people["shop-client"],
        expiration="0",
        headers={"CC": ["another-application"]},
    )
    taken = await raw.take("another-application")
    async with asyncio.timeout(PATIENCE):
        delivery = await taken.get()
    assert delivery.body == b"surprise"
    assert delivery.properties.user_id == people["shop-client"]  # at least it says who it was


async def test_limit_whoever_may_serve_can_get_copies_of_all_requests(
    people: People, host: Rabbit
) -> None:
    intruder = await Intruder.log_in(people, "shop-server")
    copies: list[Any] = []
    declared = await intruder.raw.channel.declare_queue("", exclusive=True)
    queue = declared.queue or ""
    await intruder.raw.channel.bind_queue(queue, "leveret", "vault.open")
    await intruder.raw.channel.consume(queue, copies.append, no_ack=True)
    async with host.serving(Vault()):
        await host.remote(Vault).open()
        await until(lambda: len(copies) == 1, "the copy comes")
    await intruder.close()


async def test_a_client_whose_credentials_become_another_users_goes_on(people: People) -> None:
    """With a reply queue of that user's, as it may not use the other one's."""
    parts = urlsplit(people.url("shop-client"))
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    other = f"{people['shop-client']}-2"
    rights = next(row for row in table(SECURITY, "Rights on the broker") if "shop-client" in row[0])
    configure, write, read = (
        re.sub(r"\bshop-client\b", other, cell.strip("`")) for cell in rights[1:]
    )
    people.users.add(other, configure=configure, write=write, read=read)
    now = [people["shop-client"]]
    soon = Reconnect(first=0.01, most=0.05)
    async with (
        leveret.connect(people.url("shop-server")) as server,
        server.serving(Shop()),
        leveret.connect(bare, credentials=lambda: (now[0], PASSWORD), reconnect=soon) as customer,
    ):
        assert await customer.remote(Shop).buy("tea") == f"tea for {now[0]}"
        now[0] = other
        crash(customer)
        assert await customer.remote(Shop).buy("tea") == f"tea for {other}"
