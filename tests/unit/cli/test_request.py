"""What a supervisor and its workers tell each other survives the way."""

from __future__ import annotations

import msgspec

from leveret import PlainQueue
from leveret.cli.exits import CUT_SHORT
from leveret.cli.logs import LogFormat, LogLevel
from leveret.cli.serving.request import Ending, ServeRequest
from leveret.cli.serving.worker import Orders
from leveret.server.options import GRACE, ServeOptions


def test_orders_arrive_as_they_were_sent() -> None:
    request = ServeRequest(
        targets=("shop:Shop",),
        url="amqp://somewhere/",
        grace=5.5,
        max_message_size=1_000,
        middleware=("shop:log",),
        plain={"rpc": "shop.order"},
        allow={"*": ("ada", "b*")},
        access_log=True,
        log_level=LogLevel.DEBUG,
        log_format=LogFormat.JSON,
    )
    orders = Orders(worker=2, request=request)
    line = msgspec.json.encode(orders)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Orders) == orders


def test_an_ending_arrives_as_it_was_sent() -> None:
    ending = Ending(code=CUT_SHORT, error="calls had to be cancelled to stop", permanent=True)
    assert msgspec.json.decode(msgspec.json.encode(ending), type=Ending) == ending


def test_without_options_a_server_serves_as_it_does_in_code() -> None:
    request = ServeRequest(targets=())
    assert ServeOptions.of(**request.serve_options) == ServeOptions()
    assert request.grace == GRACE


def test_each_option_reaches_the_server() -> None:
    request = ServeRequest(
        targets=(),
        concurrency=3,
        grace=1.0,
        plain={"rpc": "shop.order"},
        send_tracebacks=True,
        allow={"shop": ("ada",)},
        once="redis://localhost/",
        access_log=True,
    )
    options = ServeOptions.of(**request.serve_options)
    assert (options.concurrency, options.grace, options.send_tracebacks) == (3, 1.0, True)
    assert options.plain == {"rpc": PlainQueue(method="shop.order")}
    assert options.allow == {"shop": ("ada",)}
    assert options.once is not None
    assert options.access_log
