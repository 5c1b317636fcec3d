from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Ack, Method, Nack
from leveret.amqp.properties import Properties
from leveret.broker.refusals import not_allowed
from leveret.broker.session.closing import blamed_event, channel_close, connection_close
from leveret.broker.session.received import Published


@pytest.mark.parametrize(
    ("event", "blamed"),
    [
        (Method(1, methods.Queue.Declare(queue="q")), (50, 10)),
        (Ack(1, 1, False), (60, 80)),
        (Nack(1, 1, False, False), (60, 120)),
        (Published(1, "", "q", False, False, Properties(), b"\0\0", b"", 0), (60, 40)),
    ],
)
def test_a_close_blames_the_method_that_an_event_was(event: Any, blamed: tuple[int, int]) -> None:
    assert blamed_event(event) == blamed
    close = channel_close(not_allowed("so"), blamed)
    assert (close.class_id, close.method_id, close.reply_code) == (*blamed, 530)


def test_a_reply_text_is_cut_to_what_fits() -> None:
    close = connection_close(not_allowed("ü" * 300), (0, 0))
    assert len(close.reply_text.encode()) <= 255
    assert close.reply_text.endswith("ü...")
