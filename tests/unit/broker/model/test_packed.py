from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp.properties import HEADERS, Properties, encode_properties
from leveret.broker.model import packed
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
