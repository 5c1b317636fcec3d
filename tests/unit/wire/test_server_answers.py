"""What servers answer to questions about themselves: the JSON of protocol 1, read with care."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leveret.wire.server_answers import Consumes, Info, Ping, Stats, read_answer, read_consumes
from leveret.wire.stats import QueueStats


def test_for_how_long_a_queue_is_consumed_is_read_from_the_answer() -> None:
    consumes = Consumes(instance="0a1b2c3d", seconds=1.5)
    assert read_consumes(b'{"instance":"0a1b2c3d","seconds":1.5}') == consumes
    for body in (b"", b"[]", b'{"seconds":1}', b"[" * 100_000):
        with pytest.raises(ValueError):
            read_consumes(body)


def test_answers_are_the_json_of_protocol_1() -> None:
    who: dict[str, Any] = {"instance": "0a1b2c3d", "name": "n", "services": ["words"]}
    calls = QueueStats(finished=1, failed=0, running=2, concurrency=3)
    waiting = QueueStats(finished=1, failed=0, running=2, concurrency=3, waiting=4)
    assert msgspec.json.encode(Ping(**who)) == (
        b'{"instance":"0a1b2c3d","name":"n","services":["words"]}'
    )
    assert msgspec.json.encode(Info(**who, schemas={"words": {}})) == (
        b'{"instance":"0a1b2c3d","name":"n","services":["words"],"schemas":{"words":{}}}'
    )
    stats = Stats(**who, uptime=1.5, bounds=[1.0], methods={"q": calls, "r": waiting})
    assert msgspec.json.encode(stats) == (
        b'{"instance":"0a1b2c3d","name":"n","services":["words"],"uptime":1.5,"bounds":[1.0],'
        b'"methods":{"q":{"finished":1,"failed":0,"running":2,"concurrency":3},'
        b'"r":{"finished":1,"failed":0,"running":2,"concurrency":3,"waiting":4}}}'
    )


def test_an_answer_of_a_later_version_is_read_with_its_version() -> None:
    later = b'{"instance":"a","name":"","services":[],"version":2,"new":true}'
    assert msgspec.json.decode(later, type=Ping).version == 2


def test_an_answer_is_read_as_far_as_anybody_needs_it() -> None:
    body = (
        b'{"instance":"1f","name":"words 1","services":["words"],"uptime":3,'
        b'"schemas":{"words":{"service":"words","methods":{"find":{"timeout":2}}}}}'
    )
    answer = read_answer(body)
    assert (answer.instance, answer.name, answer.services) == ("1f", "words 1", ["words"])
    assert answer.schemas == {"words": {"methods": {"find": {"timeout": 2}}}}
    assert answer.contracts == {}


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"services":[7]}', b"[" * 100_000])
def test_an_answer_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_answer(body)


def test_an_answer_of_a_method_that_is_too_deep_is_refused() -> None:
    body = b'{"schemas":{"a":{"methods":{"b":{"c":' + b"[" * 100_000
    with pytest.raises(ValueError, match="too much inside"):
        read_answer(body)
