from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame

from leveret.amqp.properties import HEADERS, Properties, encode_properties
from leveret.broker.model import packed
from leveret.broker.session.confirming import Confirming
from tests.unit.amqp.strategies import FAST

TEXTS = st.none() | st.text(max_size=20)
PROPERTIES = st.builds(
    Properties,
    content_type=TEXTS,
    headers=st.none()
    | st.dictionaries(
        st.text(max_size=9),
        st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text() | st.floats(width=32)
        | st.lists(st.text(max_size=3), max_size=3),
        max_size=4,
    ),
    delivery_mode=st.none() | st.integers(1, 2),
    priority=st.none() | st.integers(0, 255),
    correlation_id=TEXTS,
    reply_to=TEXTS,
    expiration=TEXTS,
    timestamp=st.none() | st.integers(0, 2**40),
    user_id=TEXTS,
)  # fmt: skip


@FAST
@given(PROPERTIES)
def test_properties_that_are_split_and_joined_are_the_same_bytes(properties: Properties) -> None:
    data = encode_properties(properties)
    fields = packed.split(data)
    if HEADERS in fields:
        fields[HEADERS] = packed.write_entries(packed.read_entries(fields[HEADERS]))
    assert packed.join(fields) == data


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
