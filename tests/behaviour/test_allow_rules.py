"""Who may call what, as `serve(allow=...)` has it: the others are refused, and nothing runs."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import pytest

import leveret
from leveret import (
    Code,
    ContractError,
    CurrentCall,
    InvalidArgument,
    PermissionDenied,
    Rabbit,
    Service,
    method,
)
from tests.behaviour.raw import RawPeer
from tests.behaviour.users import Users
from tests.brokers import Broker


class Orders(Service):
    """Orders, and a note of each call that ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @method
    async def show(self, order: str) -> str:
        self.ran.append(f"show {order}")
        return order

    @method(idempotent=True)
    async def cancel(self, order: str) -> str:
        self.ran.append(f"cancel {order}")
        return order


@pytest.fixture
def users(broker: Broker) -> Users:
    return Users(broker)


def unique(role: str) -> str:
    """A name that no other test has: users are the whole broker's, not the vhost's."""
    return f"{role}-{secrets.token_hex(4)}"


async def test_each_user_calls_what_the_rules_allow_and_nothing_else(
    users: Users, host: Rabbit
) -> None:
    shop, admin = unique("shop"), unique("admin")
    orders = Orders()
    rules = {"orders": ["shop-*"], "orders.cancel": [admin]}
    async with (
        host.serving(orders, allow=rules),
        users.connect(shop) as seller,
        users.connect(admin) as boss,
    ):
        assert await seller.remote(Orders).show("1") == "1"
        assert await boss.remote(Orders).cancel("2") == "2"
        for rabbit, user, call in (
            (seller, shop, seller.remote(Orders).cancel("3")),
            (boss, admin, boss.remote(Orders).show("4")),
            (host, "guest", host.call("orders.show", order="5")),
        ):
            with pytest.raises(PermissionDenied, match=f"user '{user}' may not call") as caught:
                await call
            assert caught.value.executed == "no"
            assert caught.value.code == Code.PERMISSION_DENIED
            assert caught.value.method.startswith("orders.")
            assert rabbit.in_flight == 0
    assert orders.ran == ["show 1", "cancel 2"]


async def test_a_caller_without_a_user_is_refused_whatever_name_it_gives_itself(
    host: Rabbit, raw: RawPeer
) -> None:
    orders = Orders()
    await raw.listen()
    async with host.serving(orders, allow={"*": ["*"]}):
        raw.request("orders.show", b'{"order": "1"}', app_id="guest")
        failure = await raw.failure()
        assert failure["code"] == "PERMISSION_DENIED"
        assert failure["executed"] == "no"
        assert "does not say which user" in failure["message"]
        raw.request("orders.show", b'{"order": "1"}', user_id="guest")
        assert (await raw.reply()).body == b'"1"'
    assert orders.ran == ["show 1"]


@pytest.mark.parametrize("body", [b"no json", b"[" * 100_000, b'{"order": 7}'])
async def test_whoever_may_not_call_is_refused_before_the_arguments_are_read(
    host: Rabbit, raw: RawPeer, body: bytes
) -> None:
    await raw.listen()
    async with host.serving(Orders(), allow={"orders": ["nobody-at-all"]}):
        raw.request("orders.show", body, user_id="guest")
        assert (await raw.failure())["code"] == "PERMISSION_DENIED"


async def test_the_rules_hold_for_the_tutorials_protocol_too(users: Users, host: Rabbit) -> None:
    admin, shop = unique("admin"), unique("shop")
    async with (
        host.serving(Orders(), plain={"order_queue": "orders.show"}, allow={"*": [admin]}),
        users.connect(admin) as boss,
        users.connect(shop) as seller,
    ):
        assert await boss.plain("order_queue").call("1") == "1"
        with pytest.raises(leveret.RemoteError, match="may not call this method"):
            await seller.plain("order_queue").call("1")


async def test_a_function_sees_who_calls_what_and_how(users: Users, host: Rabbit) -> None:
    def allow(call: CurrentCall) -> bool:
        assert call.arguments == {}  # they are not read yet
        return call.method == "orders.show" and call.metadata.get("ticket") == f"for {call.user}"

    shop = unique("shop")
    orders = Orders()
    async with host.serving(orders, allow=allow), users.connect(shop) as rabbit:
        ticket = rabbit.with_options(metadata={"ticket": f"for {shop}"})
        assert await ticket.call("orders.show", order="1") == "1"
        for call in (
            rabbit.call("orders.show", order="2"),
            ticket.call("orders.cancel", order="3"),
            host.with_options(metadata={"ticket": f"for {shop}"}).call("orders.show", order="4"),
        ):
            with pytest.raises(PermissionDenied):
                await call
    assert orders.ran == ["show 1"]


async def test_refused_calls_cost_the_others_nothing(
    users: Users, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "leveret.server")
    shop = unique("shop")
    async with (
        host.serving(Orders(), allow={"*": ["guest"]}, concurrency=1) as server,
        users.connect(shop) as rabbit,
    ):
        for _ in range(50):
            with pytest.raises(PermissionDenied):
                await rabbit.call("orders.show", order="1")
        assert await host.call("orders.show", order="2") == "2"
        assert server.calls() == []
    assert caplog.text.count("may not call orders.show") == 1


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"order": ["admin"]}, "nothing of that name is served; there are .*orders.show"),
        ({"orders.delete": ["admin"]}, "nothing of that name is served"),
        ({"orders": "admin"}, "takes a list"),
    ],
)
async def test_a_rule_that_cannot_be_meant_stops_the_server_before_it_begins(
    host: Rabbit, raw: RawPeer, rules: Any, message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        async with host.serving(Orders(), allow=rules):
            pass
    assert not await raw.exists("leveret.orders.show")


async def test_rules_need_a_server_that_knows_its_own_user(rabbitmq_url: str) -> None:
    async with leveret.connect(rabbitmq_url, user_id="") as rabbit:
        with pytest.raises(InvalidArgument, match="name of the server's own user"):
            async with rabbit.serving(Orders(), allow={"*": ["admin"]}):
                pass
