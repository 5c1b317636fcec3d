from __future__ import annotations

import pytest

from leveret.broker import refusals
from leveret.broker.refusals import Refused


@pytest.mark.parametrize(
    ("refused", "code", "hard"),
    [
        (refusals.precondition("so"), 406, False),
        (refusals.access_refused("so"), 403, False),
        (refusals.not_found("queue", "q", "/"), 404, False),
        (refusals.locked("q", "/"), 405, False),
        (refusals.no_get("q", "/"), 405, False),
        (refusals.not_allowed("so"), 530, True),
        (refusals.not_implemented("so"), 540, True),
    ],
)
def test_a_refusal_closes_the_channel_or_by_its_code_the_connection(
    refused: Refused, code: int, hard: bool
) -> None:
    assert (refused.reply_code, refused.hard) == (code, hard)


def test_a_reply_text_begins_with_the_name_of_its_code() -> None:
    text = refusals.not_found("queue", "q", "/").reply_text
    assert text == "NOT_FOUND - no queue 'q' in vhost '/'"
