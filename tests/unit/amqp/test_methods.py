"""The table of AMQP's methods, beside pamqp's: the same methods, ids, fields and answers."""

from __future__ import annotations

from typing import Any

import pamqp.commands
import pytest

from leveret.amqp.methods import METHODS, Access, Basic, Connection, Queue

THEIRS: dict[int, Any] = pamqp.commands.INDEX_MAPPING
ACCESS = {Access.Request.index, Access.RequestOk.index}
"""AMQP 0-9's, which pamqp does not have."""

TYPES = {
    "Bit": "bit",
    "Octet": "octet",
    "Short": "short",
    "Long": "long",
    "LongLong": "longlong",
    "ShortStr": "shortstr",
    "LongStr": "longstr",
    "Table": "table",
}
"""AMQP's types as pamqp writes them."""

RESERVED = {
    "ticket",
    "out_of_band",
    "capabilities",
    "insist",
    "known_hosts",
    "channel_id",
    "cluster_id",
}
"""Fields that AMQP 0-9-1 reserves, by the names that they had before."""

methods = pytest.mark.parametrize("index", sorted(THEIRS))


def test_the_table_has_all_methods() -> None:
    assert set(METHODS) == set(THEIRS) | ACCESS


@methods
def test_a_method_has_the_ids_fields_and_types_that_pamqp_knows(index: int) -> None:
    ours, theirs = METHODS[index], THEIRS[index]
    named = [
        (field if field not in RESERVED else "reserved", theirs.amqp_type(field))
        for field in theirs.__slots__
    ]
    assert [
        ("reserved" if field in ours.reserved else field, TYPES[kind])
        for field, kind in ours.fields
    ] == named
    assert (ours.name.replace(".", "").replace("-", "")) == theirs.name.replace(".", "").lower()


@methods
def test_a_method_has_the_answers_that_pamqp_knows(index: int) -> None:
    answers = {answer.index for answer in METHODS[index].answers}
    assert answers == {
        answer.index for answer in THEIRS.values() if answer.name in THEIRS[index].valid_responses
    }
    assert bool(answers) == THEIRS[index].synchronous


def test_four_methods_carry_content() -> None:
    carriers = {method.name for method in METHODS.values() if method.has_content}
    assert carriers == {"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"}


def test_a_method_is_called_what_the_specification_calls_it() -> None:
    assert Queue.DeclareOk.name == "queue.declare-ok"
    assert Connection.UpdateSecretOk.name == "connection.update-secret-ok"
    assert Basic.RecoverAsync.name == "basic.recover-async"


def test_basic_get_has_two_answers() -> None:
    assert Basic.Get.answers == (Basic.GetOk, Basic.GetEmpty)


def test_a_reserved_field_is_no_argument() -> None:
    assert Queue.Purge(queue="q").reserved == ("reserved_1",)
    with pytest.raises(TypeError, match="reserved_1"):
        Queue.Purge(reserved_1=1)  # type: ignore[call-arg]


def test_methods_are_values() -> None:
    one = Queue.Declare(queue="q", arguments={"x-expires": 1})
    assert one == Queue.Declare(queue="q", arguments={"x-expires": 1})
    assert one != Queue.Declare(queue="other", arguments={"x-expires": 1})
    with pytest.raises(AttributeError):
        one.queue = "other"  # type: ignore[misc]
    assert Queue.Declare().arguments is not Queue.Declare().arguments
