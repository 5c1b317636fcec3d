"""Control messages: read whatever their shape is."""

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
    Inquiry,
    Query,
    Rebind,
    SinceWhen,
)
from leveret.wire.message import ReplyAddress
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


def test_a_server_that_begins_names_itself() -> None:
    begins = control.read(delivery(b"0a1b2c3d", type="begin"))
    assert begins == Begins(service="words", instance="0a1b2c3d")
    odd = control.read(delivery(b"\xff", type="begin"))
    assert odd == Begins(service="words", instance="\N{REPLACEMENT CHARACTER}")
