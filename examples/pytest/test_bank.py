"""Tests of a service: alone, over a broker, and over a line that breaks."""

import pytest
from bank import Bank, Overdrawn

import leveret
from leveret.testing import Broker, FaultProxy

pytestmark = pytest.mark.asyncio


async def test_rules_need_no_broker() -> None:
    bank = Bank()
    await bank.deposit("anna", 500)
    with pytest.raises(Overdrawn):
        await bank.transfer("anna", "bert", 501)
    assert await bank.balance("anna") == 500


async def test_money_moves(bank: Bank) -> None:
    assert await bank.deposit("anna", 500) == 500
    await bank.transfer("anna", "bert", 200)
    assert await bank.balance("anna") == 300
    assert await bank.balance("bert") == 200


async def test_a_declared_error_arrives_with_its_fields(bank: Bank) -> None:
    with pytest.raises(Overdrawn) as raised:
        await bank.transfer("anna", "bert", 200)
    assert (raised.value.account, raised.value.missing) == ("anna", 200)
    assert raised.value.executed == "yes"


async def test_arguments_are_checked_before_they_are_sent(bank: Bank) -> None:
    with pytest.raises(leveret.InvalidArgument, match="Expected `int` >= 1"):
        await bank.deposit("anna", 0)


async def test_a_caller_hears_that_nobody_serves(leveret_client: leveret.Rabbit) -> None:
    with pytest.raises(leveret.Unimplemented):
        await leveret_client.remote(Bank).balance("anna")


async def test_a_call_outlives_a_connection_that_breaks(bank: Bank, leveret_broker: Broker) -> None:
    async with (
        FaultProxy(leveret_broker.url) as proxy,
        leveret.connect(proxy.url) as far,
    ):
        proxy.cut()
        assert await far.remote(Bank).balance("anna") == 0
