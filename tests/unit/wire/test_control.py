"""Control messages: read whatever their shape is, answered in the JSON of protocol 1."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leveret.wire import control
from leveret.wire.control import (
    CANCEL,
    CONFIRMED,
    QUERY,
    REBIND,
    Answer,
    Begins,
    CallForAll,
    Cancel,
    Confirmed,
    Consumes,
    Info,
    Inquiry,
    Ping,
    Query,
    Rebind,
    SinceWhen,
    Stats,
    read_consumes,
)
from leveret.wire.message import ReplyAddress
from leveret.wire.stats import QueueStats
from tests.unit.wire.messages import MINE, delivery


def sent(word: str, body: bytes = b"", **how: Any) -> Any:
    properties = control.properties(word, reply_to=MINE, **how)
    return control.read(delivery(body, **msgspec.structs.asdict(properties)))


def test_a_cancel_arrives_as_it_was_sent() -> None:
    assert sent(CANCEL, call_id="1f", seconds=5) == Cancel(key=(MINE, "1f"), seconds=5.0)


def test_a_cancel_is_remembered_for_an_hour_at_most() -> None:
    assert sent(CANCEL, call_id="1f", seconds=1e6).seconds == control.LONGEST_CANCEL


@pytest.mark.parametrize("expiration", [None, "", "soon", "-1"])
def test_a_cancel_without_a_time_is_not_remembered(expiration: str | None) -> None:
    message = delivery(type="cancel", reply_to="a", correlation_id="1", expiration=expiration)
    address = ReplyAddress(exchange="", key="a")
    assert control.read(message) == Cancel(key=(address, "1"), seconds=0.0)


def test_a_caller_confirms_its_call() -> None:
    assert sent(CONFIRMED, call_id="1f", seconds=1) == Confirmed(key=(MINE, "1f"))


def test_a_client_asks_for_its_calls() -> None:
    assert sent(QUERY, b'["a","b"]', seconds=1) == Query(reply_to=MINE, call_ids={"a", "b"})


def test_a_client_asks_servers_to_bind_their_queues() -> None:
    assert sent(REBIND, seconds=1) == Rebind()


def test_an_answer_of_another_server_is_read_whatever_is_in_it() -> None:
    assert control.read(delivery(b"no JSON", type="result")) == Answer(body=b"no JSON")


def test_a_control_message_may_wait_for_a_millisecond_at_least() -> None:
    assert control.properties(CANCEL, reply_to=MINE, seconds=0).expiration == "1"


def test_a_call_for_all_servers_is_a_request_with_its_method() -> None:
    message = delivery(
        b"{}", type="call", reply_to="a", correlation_id="1", headers={"method": "shout"}
    )
    call = control.read(message)
    assert isinstance(call, CallForAll)
    assert message.routing_key == "words.shout"  # a call for one server has its instance there
    assert (call.service, call.method) == ("words", "shout")
    assert call.delivery is message
    for headers in (None, {"method": 7}):
        unnamed = control.read(
            delivery(type="call", reply_to="a", correlation_id="1", headers=headers)
        )
        assert isinstance(unnamed, CallForAll)
        assert unnamed.method == ""


@pytest.mark.parametrize("word", ["cancel", "go", "call"])
@pytest.mark.parametrize("names", [{}, {"reply_to": "a"}, {"correlation_id": "1"}])
def test_what_names_no_call_is_for_none(word: str, names: dict[str, Any]) -> None:
    assert control.read(delivery(type=word, **names)) is None


def test_a_query_that_nobody_waits_for_is_for_none() -> None:
    assert control.read(delivery(b"[]", type="ask")) is None


@pytest.mark.parametrize("body", [None, b"", b"{}", b"[1]", b"[" * 100_000, b"\xff"])
def test_a_query_that_cannot_be_read_is_refused(body: bytes | None) -> None:
    with pytest.raises(ValueError, match="that cannot be read"):
        control.read(delivery(body, type="ask", reply_to="a"))


@pytest.mark.parametrize("kind", [None, "", "shutdown", "\udcff"])
def test_an_unknown_message_is_refused(kind: str | None) -> None:
    with pytest.raises(ValueError, match="unknown type"):
        control.read(delivery(type=kind))


@pytest.mark.parametrize("about", ["ping", "info", "stats", "contracts", "calls"])
def test_anybody_may_inquire(about: Any) -> None:
    address = ReplyAddress(exchange="", key="a")
    assert control.read(delivery(type=about, reply_to="a", correlation_id="7")) == Inquiry(
        about=about, reply_to=address, correlation_id="7"
    )
    assert control.read(delivery(type=about)) == Inquiry(
        about=about, reply_to=None, correlation_id=None
    )


def test_who_asks_for_how_long_a_queue_is_consumed_names_it_and_waits_for_an_answer() -> None:
    asked = delivery(b"leveret.desk.w", type="since", reply_to="a", correlation_id="7")
    address = ReplyAddress(exchange="", key="a")
    assert control.read(asked) == SinceWhen(
        queue="leveret.desk.w", reply_to=address, correlation_id="7"
    )
    assert control.read(delivery(b"leveret.desk.w", type="since")) is None
    consumes = Consumes(instance="0a1b2c3d", seconds=1.5)
    assert read_consumes(b'{"instance":"0a1b2c3d","seconds":1.5}') == consumes
    for body in (b"", b"[]", b'{"seconds":1}', b"[" * 100_000):
        with pytest.raises(ValueError):
            read_consumes(body)


def test_a_server_that_begins_names_itself() -> None:
    begins = control.read(delivery(b"0a1b2c3d", type="begin"))
    assert begins == Begins(service="words", instance="0a1b2c3d")
    odd = control.read(delivery(b"\xff", type="begin"))
    assert odd == Begins(service="words", instance="\N{REPLACEMENT CHARACTER}")


def test_answers_are_the_json_of_protocol_1() -> None:
    who: dict[str, Any] = {"instance": "0a1b2c3d", "name": "n", "services": ["words"]}
    calls = QueueStats(finished=1, failed=0, running=2, concurrency=3)
    waiting = QueueStats(finished=1, failed=0, running=2, concurrency=3, waiting=4)
    assert msgspec.json.encode(Ping(**who)) == (
        b'{"instance":"0a1b2c3d","name":"n","services":["words"]}'
    )
    assert msgspec.json.encode(Info(**who, schemas={"words": {}})) == (
        b'{"instance":"0a1b2c3d","name":"n","services":["words"],"schemas":{"words":{}}}'
    )
    stats = Stats(**who, uptime=1.5, bounds=[1.0], methods={"q": calls, "r": waiting})
    assert msgspec.json.encode(stats) == (
        b'{"instance":"0a1b2c3d","name":"n","services":["words"],"uptime":1.5,"bounds":[1.0],'
        b'"methods":{"q":{"finished":1,"failed":0,"running":2,"concurrency":3},'
        b'"r":{"finished":1,"failed":0,"running":2,"concurrency":3,"waiting":4}}}'
    )


def test_an_answer_of_a_later_version_is_read_with_its_version() -> None:
    later = b'{"instance":"a","name":"","services":[],"version":2,"new":true}'
    assert msgspec.json.decode(later, type=Ping).version == 2


def test_an_answer_is_read_as_far_as_anybody_needs_it() -> None:
    body = (
        b'{"instance":"1f","name":"words 1","services":["words"],"uptime":3,'
        b'"schemas":{"words":{"service":"words","methods":{"find":{"timeout":2}}}}}'
    )
    answer = control.read_answer(body)
    assert (answer.instance, answer.name, answer.services) == ("1f", "words 1", ["words"])
    assert answer.schemas == {"words": {"methods": {"find": {"timeout": 2}}}}
    assert answer.contracts == {}


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"services":[7]}', b"[" * 100_000])
def test_an_answer_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        control.read_answer(body)


def test_an_answer_of_a_method_that_is_too_deep_is_refused() -> None:
    body = b'{"schemas":{"a":{"methods":{"b":{"c":' + b"[" * 100_000
    with pytest.raises(ValueError, match="too much inside"):
        control.read_answer(body)
