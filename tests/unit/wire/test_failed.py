"""A failed request in its queue: what it keeps, what it says, and how it goes out again."""

from __future__ import annotations

from typing import Any

from leveret import DeclaredError, InvalidArgument, RemoteError, Service, method
from leveret.amqp.properties import Properties, encode_properties
from leveret.contract import spec_of
from leveret.errors import CallError
from leveret.wire.message import Incoming
from leveret.wire.native.failed import (
    Failure,
    failed_properties,
    failed_queue_arguments,
    failure_of,
    read_failure,
    retried_properties,
    times_retried,
)
from tests.unit.server.calls.making import request


class Torn(DeclaredError):
    """A letter that cannot be read."""

    letter: str


class Post(Service):
    @method(keep_failed=True)
    async def weigh(self) -> None: ...

    @method(keep_failed=True, queue="quorum")
    async def deliver(self) -> None: ...


def came(**properties: Any) -> Incoming:
    return request("id-1", **{"reply_to": None, "content_type": "application/json", **properties})


def failure(error: CallError | None = None, incoming: Incoming | None = None) -> Failure:
    error = error or RemoteError("it broke", type_name="ValueError", executed="yes")
    return failure_of(error, incoming or came(), at=1_750_000_000_000, instance="b47af560", key="")


def kept(incoming: Incoming, found: Failure | None = None, **options: Any) -> Properties:
    given = {"user": "ann", "own_user": "server", "room": 4_000, **options}
    return failed_properties(incoming, found or failure(incoming=incoming), **given)


def test_an_error_is_noted_as_a_reply_would_tell_it() -> None:
    found = failure()
    assert (found.code, found.type, found.executed) == ("INTERNAL", "ValueError", "yes")
    assert (found.at, found.instance, found.attempts) == (1_750_000_000_000, "b47af560", 1)
    found = failure(InvalidArgument("no such argument", executed="no"))
    assert (found.code, found.type, found.executed) == ("INVALID_ARGUMENT", "InvalidArgument", "no")
    assert failure(Torn("a")).code == "TORN"


def test_a_request_keeps_what_is_its_own_and_loses_what_belongs_to_its_delivery() -> None:
    headers = {
        "metadata": {"by": "me"},
        "idempotency-key": "key 1",
        "mine": 1,
        **dict.fromkeys(("CC", "deadline", "attempt", "handed-back", "resent", "x-death"), 1),
    }
    properties = kept(came(headers=headers, expiration="5", user_id="ann", app_id="shop"))
    assert properties.headers is not None
    failed = properties.headers.pop("failed")
    assert properties.headers == {
        "metadata": {"by": "me"},
        "idempotency-key": "key 1",
        "mine": 1,
        "on-behalf-of": "ann",
    }
    assert failed["type"] == "ValueError"
    assert (properties.delivery_mode, properties.expiration) == (2, None)
    assert (properties.correlation_id, properties.app_id) == ("id-1", "shop")
    assert properties.user_id == "server"


def test_whose_request_it_is_is_said_where_it_is_known_and_another() -> None:
    assert "on-behalf-of" not in (kept(came(), user="server").headers or {})
    assert "on-behalf-of" not in (kept(came(), user="").headers or {})
    unknown = kept(came(headers={"on-behalf-of": "root"}), own_user="")
    assert "on-behalf-of" not in (unknown.headers or {})
    assert unknown.user_id is None


def test_a_message_is_cut_until_the_headers_fit_and_then_the_requests_own_go() -> None:
    long = failure(RemoteError("x" * 3_000, type_name="ValueError"))
    properties = kept(came(), long, room=1_000)
    found = read_failure(properties)
    assert found is not None
    assert found.message == "x" * 400
    assert len(encode_properties(properties)) <= 1_000
    tight = kept(came(headers={"metadata": {"much": "y" * 3_000}}), long, room=1_000)
    assert sorted(tight.headers or ()) == ["failed", "on-behalf-of"]


def test_what_is_kept_can_be_read_and_what_others_put_there_does_not_mislead() -> None:
    assert read_failure(kept(came(), failure())) == failure()
    assert read_failure(Properties()) is None
    assert read_failure(Properties(headers={"failed": "very"})) is None
    found = read_failure(Properties(headers={"failed": {"code": 3, "at": "now", "attempts": True}}))
    assert found == Failure(
        code="", type="", message="", executed="maybe", at=0, instance="", attempts=0
    )


def test_a_retry_has_no_failure_and_counts_itself() -> None:
    again = retried_properties(kept(came(headers={"mine": 1})), "operator")
    assert again.headers == {"mine": 1, "retried": 1, "on-behalf-of": "ann"}
    assert (again.user_id, again.delivery_mode) == ("operator", 2)
    assert (times_retried(again), times_retried(Properties(headers={"retried": -1}))) == (1, 0)
    incoming = came(headers=again.headers)
    assert failure(incoming=incoming).attempts == 2
    own = retried_properties(kept(came(), user="operator"), "operator")
    assert own.headers == {"retried": 1}


def test_a_retry_has_another_key_which_each_copy_of_it_shares() -> None:
    def retried(key: str, times: int) -> object:
        found = failure_of(InvalidArgument("x"), came(), at=0, instance="", key=key)
        headers = {"retried": times} if times else {}
        properties = kept(came(headers=headers), found)
        assert retried_properties(properties, "ann") == retried_properties(properties, "ann")
        return (retried_properties(properties, "ann").headers or {}).get("idempotency-key")

    assert retried("", 0) is None
    assert retried("order 1", 0) == "order 1#1"
    assert retried("order 1#1", 1) == "order 1#2"
    assert retried("order#7", 0) == "order#7#1"


def test_the_queue_is_as_safe_as_that_of_the_requests() -> None:
    methods = spec_of(Post).methods
    assert failed_queue_arguments(methods["weigh"]) == {}
    assert failed_queue_arguments(methods["deliver"]) == {"x-queue-type": "quorum"}
    assert methods["weigh"].failed_queue_name == "leveret.post.weigh.failed"
