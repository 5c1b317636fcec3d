"""AMQP's numbers, beside pamqp's."""

from __future__ import annotations

import pamqp.constants
import pamqp.exceptions
import pytest

from leveret.amqp import codes
from leveret.amqp.codes import ReplyCode
from leveret.amqp.methods import METHODS


@pytest.mark.parametrize("code", sorted(pamqp.exceptions.CLASS_MAPPING))
def test_a_reply_code_is_called_what_pamqp_calls_it(code: int) -> None:
    theirs = pamqp.exceptions.CLASS_MAPPING[code].__name__.removeprefix("AMQP")
    assert ReplyCode(code).name.replace("_", "").lower() == theirs.lower()


def test_frames_have_the_types_and_the_end_that_pamqp_knows() -> None:
    assert codes.FRAME_METHOD == pamqp.constants.FRAME_METHOD
    assert codes.FRAME_HEADER == pamqp.constants.FRAME_HEADER
    assert codes.FRAME_BODY == pamqp.constants.FRAME_BODY
    assert codes.FRAME_HEARTBEAT == pamqp.constants.FRAME_HEARTBEAT
    assert codes.FRAME_END == pamqp.constants.FRAME_END
    assert codes.FRAME_MIN_SIZE == pamqp.constants.FRAME_MIN_SIZE


def test_the_methods_that_are_parsed_by_hand_are_in_the_table() -> None:
    for name in ("publish", "deliver", "ack", "nack"):
        assert METHODS[getattr(codes, f"BASIC_{name.upper()}")].name == f"basic.{name}"
