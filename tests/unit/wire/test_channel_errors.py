"""What a close by the broker means to who declared, probed or opened something."""

from __future__ import annotations

import pytest

from leveret.amqp.codes import ReplyCode
from leveret.errors import (
    ChannelClosed,
    ConnectionClosed,
    ConnectionLost,
    LeveretError,
    PermissionDenied,
    TopologyError,
)
from leveret.wire.channel_errors import (
    exchange_at_fault,
    explained,
    forbidden,
    is_down,
    is_missing_exchange,
    size_at_fault,
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ReplyCode.PRECONDITION_FAILED, TopologyError),
        (ReplyCode.ACCESS_REFUSED, PermissionDenied),
        (ReplyCode.NOT_FOUND, ChannelClosed),
    ],
)
def test_what_cannot_be_declared_is_explained(code: int, kind: type[LeveretError]) -> None:
    error = explained(ChannelClosed(code, "the broker's words"), "queue 'q'")
    assert type(error) is kind
    assert "the broker's words" in str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inequivalent arg 'x-max-length' for queue 'q' in vhost '/'", "with other options"),
        ("cannot declare queue 'q': queue limit in vhost '/' (1) is reached", "limit raised"),
        ("invalid arg 'x-max-priority' for queue 'q' in vhost '/'", "not possible on this broker"),
    ],
)
def test_a_queue_that_cannot_be_declared_is_told_of_its_own_cause(text: str, words: str) -> None:
    closed = ChannelClosed(ReplyCode.PRECONDITION_FAILED, f"PRECONDITION_FAILED - {text}")
    assert words in str(explained(closed, "queue 'q'"))


def test_a_queue_on_a_node_that_is_down_is_told_from_one_that_is_not_there() -> None:
    down = "NOT_FOUND - home node 'a@b' of durable queue 'q' is down or inaccessible"
    assert is_down(ChannelClosed(ReplyCode.NOT_FOUND, down))
    assert not is_down(ChannelClosed(ReplyCode.NOT_FOUND, "NOT_FOUND - no queue 'q'"))
    assert not is_down(ChannelClosed(ReplyCode.ACCESS_REFUSED, down))


@pytest.mark.parametrize("configured", ["configured ", ""])
def test_the_sizes_of_a_message_that_is_too_large_are_read(configured: str) -> None:
    text = f"PRECONDITION_FAILED - message size 200 is larger than {configured}max size 100"
    assert size_at_fault(ChannelClosed(ReplyCode.PRECONDITION_FAILED, text)) == (200, 100)
    assert size_at_fault(ChannelClosed(ReplyCode.NOT_FOUND, text)) is None
    assert size_at_fault(ChannelClosed(ReplyCode.PRECONDITION_FAILED, "inequivalent arg")) is None
    assert size_at_fault(ConnectionLost(text)) is None


@pytest.mark.parametrize("code", [ReplyCode.NOT_ALLOWED, ReplyCode.ACCESS_REFUSED])
def test_a_connection_that_ends_for_what_its_user_may_not_do_would_end_again(code: int) -> None:
    closed = ConnectionClosed(code, "number of channels")
    denied = forbidden(closed)
    assert isinstance(denied, PermissionDenied)
    assert denied.__cause__ is closed
    assert "number of channels" in str(denied)
    assert "opens 3 channels" in str(denied)


@pytest.mark.parametrize(
    "error",
    [
        None,
        ConnectionLost("cut"),
        ConnectionClosed(ReplyCode.CONNECTION_FORCED, "shutdown"),
        ChannelClosed(ReplyCode.ACCESS_REFUSED, "of one queue"),
    ],
)
def test_another_end_may_not_come_again(error: LeveretError | None) -> None:
    assert forbidden(error) is None


@pytest.mark.parametrize(
    ("code", "text", "exchange", "is_missing"),
    [
        (404, "NOT_FOUND - no exchange 'leveret' in vhost '/'", "leveret", True),
        (
            403,
            "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'me'",
            "",
            False,
        ),
        (
            403,
            "ACCESS_REFUSED - write access to exchange 'leveret' in vhost '/' refused for user 'a'",
            "leveret",
            False,
        ),
        (404, "NOT_FOUND - no queue 'leveret.a.b' in vhost '/'", None, False),
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg for exchange 'x' in vhost",
            None,
            False,
        ),
    ],
)
def test_a_closed_channel_names_the_exchange_at_fault(
    code: int, text: str, exchange: str | None, is_missing: bool
) -> None:
    error = ChannelClosed(code, text)
    assert exchange_at_fault(error) == exchange
    assert is_missing_exchange(error) is is_missing


def test_a_connection_that_breaks_names_none() -> None:
    assert exchange_at_fault(ConnectionLost("no exchange 'x' in vhost '/'")) is None
