from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp.properties import Properties, encode_properties
from leveret.broker.model.messages import Message
from leveret.broker.permissions import User
from leveret.broker.refusals import Refused
from leveret.broker.session.accepting import REPLY_TO_PSEUDO_QUEUE, accept
from leveret.broker.session.received import Published


def accepted(
    body: bytes | None = b"x",
    reply_key: str | None = None,
    impersonator: bool = False,
    **given: Any,
) -> Message:
    properties = Properties(**given)
    packed = encode_properties(properties)
    publish = Published(1, "", "q", False, False, properties, packed, body, 99)
    user = User(password="", impersonator=impersonator)
    return accept(publish, user_name="bob", user=user, reply_key=reply_key, max_size=50)


def test_a_plain_message_is_handed_on_as_it_came() -> None:
    message = accepted(correlation_id="1")
    assert message.routing_keys == ("q",)
    assert message.packed == encode_properties(Properties(correlation_id="1"))


def test_a_body_that_was_too_large_to_keep_is_refused() -> None:
    with pytest.raises(Refused, match="message size 99 is larger than configured max size 50"):
        accepted(None)


@pytest.mark.parametrize(
    ("expiration", "why"),
    [
        ("x", "no_integer"),
        ("1s", 'leftover_string,"s"'),
        ("-1", "value_negative,-1"),
        ("999999999999", "value_too_large,999999999999"),
    ],
)
def test_an_invalid_expiration_is_refused(expiration: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        accepted(expiration=expiration)


@pytest.mark.parametrize("expiration", ["0", "1000", "+5", "-0"])
def test_a_whole_number_is_a_valid_expiration(expiration: str) -> None:
    assert accepted(expiration=expiration).properties.expiration == expiration


def test_a_user_id_is_the_users_own_unless_it_may_impersonate() -> None:
    accepted(user_id="bob")
    accepted(user_id="eve", impersonator=True)
    with pytest.raises(Refused, match="user_id property set to 'eve'"):
        accepted(user_id="eve")


def test_cc_and_bcc_add_routing_keys_and_only_bcc_is_taken_out() -> None:
    message = accepted(headers={"CC": ["a"], "BCC": ["b"], "h": 1})
    assert message.routing_keys == ("q", "a", "b")
    headers = {"CC": ["a"], "h": 1}
    assert message.properties.headers == headers


def test_cc_must_be_an_array() -> None:
    with pytest.raises(Refused, match='unacceptable_type_in_header,"CC",longstr'):
        accepted(headers={"CC": "a"})


def test_the_pseudo_queue_in_reply_to_becomes_the_channels_key() -> None:
    assert accepted(reply_to=REPLY_TO_PSEUDO_QUEUE, reply_key="k").properties.reply_to == "k"
    with pytest.raises(Refused, match="fast reply consumer does not exist"):
        accepted(reply_to=REPLY_TO_PSEUDO_QUEUE)
