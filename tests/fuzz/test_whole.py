"""A server and a client as a whole, with a peer that sends messages that are nearly right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given

from tests.fuzz.seeds import SEEDS
from tests.fuzz.spoiling import FEW, spoiled
from tests.fuzz.whole import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One for all examples: what one of them breaks, the next ones meet."""
    made = World()
    yield made
    made.close()


@FEW
@given(spoiled(SEEDS["server"]))
def test_a_server_answers_whatever_it_is_asked_and_goes_on(world: World, data: bytes) -> None:
    world.request(data)


@FEW
@given(spoiled(SEEDS["client"]))
def test_a_call_ends_with_a_value_or_an_error_of_ours_whatever_is_answered(
    world: World, data: bytes
) -> None:
    world.reply(data)
