from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame

from leveret.broker.session.confirming import Confirming
from tests.unit.amqp.strategies import FAST


@FAST
@given(st.lists(st.booleans(), max_size=40), st.sets(st.integers(0, 40)))
def test_each_publish_is_confirmed_once_whatever_is_joined(
    decisions: list[bool], reads: set[int]
) -> None:
    confirming = Confirming(1)
    told = b""
    for number, ok in enumerate(decisions):
        told += confirming.decide(ok)
        if number in reads:
            told += confirming.collect()
    told += confirming.collect()
    heard: dict[int, bool] = {}
    while told:
        size, _, method = frame.unmarshal(told)
        told = told[size:]
        assert isinstance(method, commands.Basic.Ack | commands.Basic.Nack)
        number = method.delivery_tag or 0
        ok = isinstance(method, commands.Basic.Ack)
        assert number not in heard
        first = len(heard) + 1 if method.multiple else number
        heard |= dict.fromkeys(range(first, number + 1), ok)
    assert heard == dict(enumerate(decisions, 1))


def test_what_one_read_published_is_confirmed_by_one_frame() -> None:
    confirming = Confirming(3)
    assert [confirming.decide(True) for _ in range(3)] == [b""] * 3
    (_, channel, ack) = frame.unmarshal(confirming.collect())
    assert isinstance(ack, commands.Basic.Ack)
    assert (channel, ack.delivery_tag, ack.multiple) == (3, 3, True)
    assert confirming.collect() == b""


def test_a_refusal_comes_after_the_confirms_before_it() -> None:
    confirming = Confirming(1)
    confirming.decide(True)
    (_, _, ack) = frame.unmarshal(confirming.decide(False))
    assert isinstance(ack, commands.Basic.Ack)
    (_, _, nack) = frame.unmarshal(confirming.collect())
    assert isinstance(nack, commands.Basic.Nack)
    assert nack.delivery_tag == 2
