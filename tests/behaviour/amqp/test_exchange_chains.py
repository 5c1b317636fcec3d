"""Messages that go through more than one exchange: bindings between them, and alternates."""

from __future__ import annotations

from pamqp.commands import Basic, Exchange, Queue

from tests.behaviour.amqp.script import Lane
from tests.behaviour.amqp.test_exchanges import bound, reached

# -- from exchange to exchange --------------------------------------------------------------------


async def test_an_exchange_may_be_bound_to_another(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="from", exchange_type="topic"))
    await ch.call(Exchange.Declare(exchange="to", exchange_type="direct"))
    await ch.call(Exchange.Bind(destination="to", source="from", routing_key="a.*"))
    await bound(ch, "to", "a.b", "b.a")
    assert await reached(ch, "from", "a.b", "a.b", "b.a") == {"a.b"}
    assert await reached(ch, "from", "b.a", "a.b", "b.a") == set()
    await ch.call(Exchange.Unbind(destination="to", source="from", routing_key="a.*"))
    assert await reached(ch, "from", "a.b", "a.b", "b.a") == set()


async def test_exchanges_bound_in_a_ring_pass_a_message_on_once(ch: Lane) -> None:
    for name in ("x", "y"):
        await ch.call(Exchange.Declare(exchange=name, exchange_type="fanout"))
        await ch.declare(f"q{name}", exclusive=True)
        await ch.call(Queue.Bind(queue=f"q{name}", exchange=name))
    await ch.call(Exchange.Bind(destination="x", source="y"))
    await ch.call(Exchange.Bind(destination="y", source="x"))
    await ch.call(Exchange.Bind(destination="x", source="x"))
    ch.publish("x", "", b"round")
    assert (await ch.bodies("qx"), await ch.bodies("qy")) == ([b"round"], [b"round"])


async def test_deleting_an_exchange_unbinds_it_from_others(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout", auto_delete=True))
    await ch.call(Exchange.Declare(exchange="y", exchange_type="fanout"))
    await ch.call(Exchange.Bind(destination="y", source="x"))
    await ch.call(Exchange.Delete(exchange="y"))
    assert (await ch.refused(Exchange.Declare(exchange="x", passive=True))).code == 404


# -- alternate exchanges --------------------------------------------------------------------------


async def test_what_an_exchange_routes_nowhere_goes_to_its_alternate(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="alt", exchange_type="fanout"))
    await ch.call(
        Exchange.Declare(
            exchange="x", exchange_type="direct", arguments={"alternate-exchange": "alt"}
        )
    )
    await bound(ch, "x", "a")
    await bound(ch, "alt", "rest")
    assert await reached(ch, "x", "a", "a", "rest") == {"a"}
    assert await reached(ch, "x", "b", "a", "rest") == {"rest"}


async def test_what_an_alternate_takes_is_not_returned_and_keeps_its_routing(ch: Lane) -> None:
    await ch.call(
        Exchange.Declare(
            exchange="x", exchange_type="direct", arguments={"alternate-exchange": "amq.fanout"}
        )
    )
    await bound(ch, "amq.fanout", "rest")
    ch.publish("x", "b", b"m", mandatory=True)
    message = await ch.get("rest")
    assert message is not None
    assert (message.method.exchange, message.method.routing_key) == ("x", "b")


async def test_a_missing_alternate_is_no_error(ch: Lane) -> None:
    await ch.call(
        Exchange.Declare(
            exchange="x", exchange_type="direct", arguments={"alternate-exchange": "no"}
        )
    )
    ch.publish("x", "b", b"m", mandatory=True)
    assert (await ch.next()).method.reply_text == "NO_ROUTE"


async def test_alternates_in_a_ring_end(ch: Lane) -> None:
    for name, alternate in (("x", "y"), ("y", "x")):
        await ch.call(
            Exchange.Declare(
                exchange=name, exchange_type="direct", arguments={"alternate-exchange": alternate}
            )
        )
    ch.publish("x", "b", b"m", mandatory=True)
    assert (await ch.next()).method.reply_code == 312


async def test_an_alternate_stands_in_behind_a_binding_too(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="first", exchange_type="fanout"))
    await ch.call(Exchange.Declare(exchange="alternate", exchange_type="fanout"))
    await ch.call(
        Exchange.Declare(
            exchange="second",
            exchange_type="direct",
            arguments={"alternate-exchange": "alternate"},
        )
    )
    await ch.call(Exchange.Bind(destination="second", source="first"))
    await ch.declare("q", exclusive=True)
    await ch.call(Queue.Bind(queue="q", exchange="alternate"))
    assert await reached(ch, "first", "no", "q") == {"q"}


async def test_the_default_exchange_is_nobodys_alternate(ch: Lane) -> None:
    await ch.call(
        Exchange.Declare(exchange="x", exchange_type="fanout", arguments={"alternate-exchange": ""})
    )
    await ch.declare("q", exclusive=True)
    ch.publish("x", "q", b"m", mandatory=True)
    assert isinstance((await ch.next()).method, Basic.Return)
    assert await ch.bodies("q") == []
