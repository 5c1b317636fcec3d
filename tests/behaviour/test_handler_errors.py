"""What the caller of a handler gets that raises, in each of the ways in which it can."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import msgspec
import pytest

from leveret import (
    Busy,
    Cancelled,
    Code,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    PermissionDenied,
    Rabbit,
    RemoteError,
    Service,
    Unimplemented,
    method,
)
from tests.behaviour.patience import at_once
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int = 0


class OutOfStockInVersion2(DeclaredError, code="OUT_OF_STOCK"):
    """There are not enough of them."""

    sku: str
    left: int
    warehouses: list[str]


class OutOfStockInVersion0(DeclaredError, code="OUT_OF_STOCK"):
    """There are not enough of them."""

    item: int


class Shop(Service):
    @method(raises=[OutOfStock])
    async def buy(self, sku: str) -> int:
        raise OutOfStock(sku, left=2)

    @method
    async def buy_undeclared(self, sku: str) -> int:
        raise OutOfStock(sku, left=2)


class ShopOfVersion2(Service, name="shop"):
    @method(raises=[OutOfStockInVersion2])
    async def buy(self, sku: str) -> int:
        raise OutOfStockInVersion2(sku, 2, ["Rome"])


class ShopOfVersion0(Service, name="shop"):
    @method(raises=[OutOfStockInVersion0])
    async def buy(self, sku: str) -> int:
        raise OutOfStockInVersion0(7)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text for you")


class Failing(Service):
    """Raises what it is told to."""

    def __init__(self, rabbit: Rabbit | None = None) -> None:
        self.error: BaseException = ValueError("no such thing: 7")
        self.rabbit = rabbit

    @method
    async def fail(self) -> int:
        raise self.error

    @method
    def fail_in_a_thread(self) -> int:
        raise self.error

    @method
    async def leave(self) -> int:
        sys.exit(3)

    @method
    def leave_in_a_thread(self) -> int:
        sys.exit(3)

    @method
    async def call_further(self) -> str:
        assert self.rabbit is not None
        return await self.rabbit.remote(Echo).echo("x")


async def test_an_undeclared_exception_arrives_with_its_name_and_message(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Failing()):
        with pytest.raises(RemoteError) as caught:
            await client.remote(Failing).fail()
    error = caught.value
    assert str(error) == f"failing.fail: ValueError: no such thing: 7 (call {error.call_id})"
    assert (error.type_name, error.message, error.code) == (
        "ValueError",
        "no such thing: 7",
        Code.INTERNAL,
    )
    assert error.executed == "yes"
    assert error.remote_traceback == ""


async def test_the_traceback_travels_only_where_the_server_allows_it(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Failing(), send_tracebacks=True):
        with pytest.raises(RemoteError) as caught:
            await client.remote(Failing).fail()
    assert "in fail\n    raise self.error" in caught.value.remote_traceback
    assert caught.value.remote_traceback.endswith("ValueError: no such thing: 7\n")


async def test_the_server_logs_an_undeclared_exception(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.serving(Failing()):
        with pytest.raises(RemoteError) as caught:
            await client.remote(Failing).fail()
    call_id = caught.value.call_id
    record = next(r for r in caplog.records if r.levelname == "ERROR")
    assert record.name == "leveret.server"
    said = f"failing.fail (call {call_id}) raised ValueError('no such thing: 7')"
    assert said in record.getMessage()
    assert record.exc_info
    fields = {"call_id": call_id, "method": "failing.fail", "service": "failing"}
    assert fields.items() <= vars(record).items()


async def test_what_is_too_long_is_cut_on_its_way_and_in_the_log(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing()
    failing.error = ValueError("x" * 1_000_000)
    async with host.serving(failing):
        with pytest.raises(RemoteError, match=r"x\.\.\. \(cut; it has 1000000 characters\)"):
            await client.remote(Failing).fail()
    record = next(r for r in caplog.records if r.levelname == "ERROR")
    assert len(caplog.handler.format(record)) < 30_000
    assert "in fail\n    raise self.error" in record.getMessage()


@pytest.mark.parametrize(
    ("error", "type_name"),
    [
        (ValueError("\ud800 is no unicode"), "ValueError"),
        (ValueError("x" * 1_000_000), "ValueError"),
        (Unprintable(), "Unprintable"),
        (StopIteration(), "RuntimeError"),
        (KeyError(), "KeyError"),
        (ExceptionGroup("both", [ValueError("a"), KeyError("b")]), "ExceptionGroup"),
    ],
)
@pytest.mark.parametrize("where", ["fail", "fail_in_a_thread"])
async def test_whatever_a_handler_raises_is_answered(
    client: Rabbit,
    host: Rabbit,
    error: Exception,
    type_name: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pytest's own report cannot carry what the log holds then.
    monkeypatch.setattr(logging.getLogger("leveret.server"), "disabled", True)
    failing = Failing()
    failing.error = error
    async with host.serving(failing, send_tracebacks=True):
        with pytest.raises(RemoteError) as caught:
            await getattr(client.remote(Failing), where)()
    assert caught.value.type_name == type_name
    assert caught.value.executed == "yes"


async def test_a_handler_that_exits_does_not_end_the_server(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Failing(), Echo()):
        for leave in (client.remote(Failing).leave, client.remote(Failing).leave_in_a_thread):
            with pytest.raises(RemoteError, match="SystemExit: 3"):
                await leave()
        assert await client.remote(Echo).echo("still here") == "still here"


async def test_a_handler_that_cancels_itself_is_answered(client: Rabbit, host: Rabbit) -> None:
    failing = Failing()
    failing.error = asyncio.CancelledError()
    async with host.serving(failing):
        with pytest.raises(Cancelled, match="handler") as caught:
            await client.remote(Failing).fail()
    assert caught.value.executed in {"yes", "maybe"}


async def test_a_declared_error_arrives_as_the_same_class_with_its_fields(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Shop()):
        with pytest.raises(OutOfStock) as caught:
            await client.remote(Shop).buy("pear")
    assert (caught.value.sku, caught.value.left) == ("pear", 2)
    assert caught.value.code == "OUT_OF_STOCK"
    assert caught.value.executed == "yes"
    assert str(caught.value) == "shop.buy: There are not enough of them. (sku='pear', left=2)"


async def test_a_declared_error_is_not_logged_as_a_failure(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.serving(Shop()) as server:
        with pytest.raises(OutOfStock):
            await client.remote(Shop).buy("pear")
        assert sum(queue.source.failed for queue in server.subscriptions if queue.source) == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_field_that_the_caller_does_not_know_is_left_out(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(ShopOfVersion2()):
        with pytest.raises(OutOfStock) as caught:
            await client.remote(Shop).buy("pear")
    assert (caught.value.sku, caught.value.left) == ("pear", 2)
    assert not hasattr(caught.value, "warehouses")


async def test_a_declared_error_with_other_fields_says_so(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(ShopOfVersion0()):
        with pytest.raises(RemoteError, match="its fields do not fit OutOfStock") as caught:
            await client.remote(Shop).buy("pear")
    assert caught.value.data == {"item": 7}
    assert caught.value.executed == "yes"


async def test_a_caller_without_the_contract_gets_a_declared_error_as_a_remote_error(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Shop()):
        with pytest.raises(RemoteError) as caught:
            await client.call("shop.buy", sku="pear")
    assert caught.value.type_name == "OutOfStock"
    assert caught.value.data == {"sku": "pear", "left": 2}
    assert caught.value.executed == "yes"


async def test_a_declared_error_of_another_method_is_undeclared(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Shop()):
        with pytest.raises(RemoteError, match="OutOfStock: There are not enough"):
            await client.remote(Shop).buy_undeclared("pear")


@pytest.mark.parametrize("kind", [InvalidArgument, PermissionDenied, Busy])
async def test_a_handler_may_refuse_its_caller_with_an_error_of_leverets(
    client: Rabbit, host: Rabbit, kind: Any
) -> None:
    failing = Failing()
    failing.error = kind("not you")
    async with host.serving(failing):
        with pytest.raises(kind, match="failing.fail: not you") as caught:
            await client.remote(Failing).fail()
    assert caught.value.executed == "yes"


async def test_the_message_of_an_error_may_be_another_error(client: Rabbit, host: Rabbit) -> None:
    failing = Failing()
    failing.error = PermissionDenied(ValueError("no ticket"))  # type: ignore[arg-type]
    async with host.serving(failing):
        with pytest.raises(PermissionDenied, match="no ticket"):
            await client.remote(Failing).fail()


async def test_the_failure_of_a_nested_call_is_not_taken_for_that_of_the_outer_one(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Failing(host)):
        with pytest.raises(RemoteError, match=r"Unimplemented: .*leveret\.echo\.echo") as caught:
            await client.remote(Failing).call_further()
    assert not isinstance(caught.value, Unimplemented)
    assert caught.value.executed == "yes"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "cannot be decoded"),
        (b'{"code": 7}', "cannot be decoded"),
        (b"[" * 100_000, "cannot be decoded"),
        (b'{"code": "INTERNAL", "message": "x", "executed": "perhaps"}', "cannot be decoded"),
    ],
)
async def test_an_error_that_cannot_be_decoded_is_an_error_too(
    client: Rabbit, host: Rabbit, raw: RawPeer, body: bytes, error: str
) -> None:
    async with host.serving(Failing()):
        pass
    taken = await raw.take("leveret.failing.fail")
    call = asyncio.create_task(client.remote(Failing).fail())
    raw.answer(await taken.get(), body, type="error")
    with pytest.raises(InvalidResult, match=error):
        await call


async def test_an_error_of_an_unknown_code_is_a_remote_error(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Failing()):
        pass
    taken = await raw.take("leveret.failing.fail")
    call = asyncio.create_task(client.remote(Failing).fail())
    body = {"code": "DATA_LOSS", "message": "the disk", "executed": "yes", "type": "Oh", "new": 1}
    raw.answer(await taken.get(), msgspec.json.encode(body), type="error")
    with pytest.raises(RemoteError, match="Oh: the disk"):
        await call


async def test_an_error_of_ours_with_an_unprintable_message_arrives_all_the_same(
    client: Rabbit, host: Rabbit
) -> None:
    failing = Failing()
    failing.error = InvalidArgument(Unprintable())  # type: ignore[arg-type]
    async with host.serving(failing), at_once():
        with pytest.raises(InvalidArgument, match="whose __str__ fails") as caught:
            await client.remote(Failing).with_options(timeout=30).fail()
    assert caught.value.executed == "yes"
