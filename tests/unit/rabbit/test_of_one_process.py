"""Connections and remotes are not pickled, and a copy of one is itself."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

import leveret
import leveret.blocking
from leveret import Service, method


class Shop(Service):
    @method
    async def count(self, sku: str) -> int:
        raise NotImplementedError

    @method
    async def watch(self) -> AsyncIterator[int]:
        yield 1

    @method
    async def add(self, counts: AsyncIterator[int]) -> None:
        raise NotImplementedError


@dataclass
class Settings:
    """What a program may deeply copy, `asdict` as well."""

    of_a_connection: Any


def things() -> list[Any]:
    rabbit = leveret.connect("embedded://", lazy=True)
    blocking = leveret.blocking.connect("embedded://")
    remotes = [rabbit.remote(Shop), blocking.remote(Shop)]
    methods: list[Any] = [one for remote in remotes for one in (remote.count, remote.watch)]
    return [
        *(rabbit, blocking, rabbit.with_options(timeout=1), blocking.with_options(timeout=1)),
        *(*remotes, *methods, remotes[0].add, blocking.plain("queue")),
    ]


def name_of(thing: object) -> str:
    """The same in all processes that collect the tests."""
    return f"{type(thing).__module__}.{type(thing).__name__}"


@pytest.mark.parametrize("thing", things(), ids=name_of)
def test_it_says_what_to_do_in_the_other_process(thing: object) -> None:
    with pytest.raises(TypeError, match="connect in the other process"):
        pickle.dumps(thing)


@pytest.mark.parametrize("thing", things(), ids=name_of)
def test_a_copy_is_itself(thing: object) -> None:
    assert copy.copy(thing) is thing
    assert copy.deepcopy([thing])[0] is thing
    assert asdict(Settings(thing)) == {"of_a_connection": thing}
