"""How a pipe is made of methods: its one spec, its stages, and what it refuses."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

import leveret
from leveret import ContractError, InvalidArgument, Rabbit, Service, method
from leveret.client.remote_method import RemoteMethod
from leveret.client.verbs import pipe as pipe_module


class Mill(Service):
    """Methods of all kinds, as far as pipes have to know them."""

    @method(timeout=3, idempotent=True)
    async def grind(self, corn: str, fine: bool = False) -> str:
        return corn

    @method(timeout=4, once=True)
    async def bake(self, flour: str, *, hot: bool = True) -> int:
        return 1

    @method(timeout=5)
    async def sell(self, breads: int) -> float:
        return 1.0

    @method
    async def clean(self) -> None: ...

    @method
    async def weigh(self, bread: int, scale: str) -> float:
        return 1.0

    @method(one_way=True)
    async def log(self, text: str) -> None: ...

    @method
    async def watch(self, text: str) -> AsyncIterator[int]:
        yield 1

    @method
    async def fill(self, sacks: AsyncIterator[str]) -> None: ...

    @method(content_type="text/plain")
    async def tell(self, text: str) -> None: ...

    @method
    async def list_all(self) -> list[str]:
        return []

    @method
    async def tell_all(self, texts: list[str]) -> None: ...


def made(rabbit: Any, *names: str) -> RemoteMethod:
    remote = rabbit.remote(Mill)
    found = rabbit.pipe(*(getattr(remote, name) for name in names))
    assert isinstance(found, RemoteMethod)
    return found


@pytest.fixture
async def rabbit() -> Any:
    async with leveret.connect("embedded://") as connected:
        yield connected


async def test_a_pipe_is_as_one_method(rabbit: Rabbit) -> None:
    pipe = made(rabbit, "grind", "bake", "sell")
    spec = pipe.spec
    assert spec.key == "mill.grind|mill.bake|mill.sell"
    assert (spec.timeout, spec.result) == (12, float)
    assert str(inspect.signature(pipe)) == "(corn: str, fine: bool = False) -> float"
    assert inspect.getdoc(pipe) == "The pipe mill.grind -> mill.bake -> mill.sell."


@pytest.mark.parametrize(
    ("names", "idempotent", "once"),
    [
        (("grind", "grind"), True, False),
        (("grind", "bake"), False, True),
        (("grind", "bake", "sell"), False, False),
    ],
)
async def test_a_pipe_may_be_repeated_if_all_its_stages_may(
    rabbit: Rabbit, names: tuple[str, ...], idempotent: bool, once: bool
) -> None:
    spec = made(rabbit, *names).spec
    assert (spec.idempotent, spec.once) == (idempotent, once)


async def test_a_pipe_is_made_once(rabbit: Rabbit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe_module, "_KEPT", 1)
    one, two = made(rabbit, "grind", "bake"), made(rabbit, "grind", "bake")
    assert one.invocation is two.invocation
    keyed = made(rabbit.with_options(idempotency_key="k"), "grind", "bake")
    assert keyed.invocation is not one.invocation
    assert made(rabbit, "grind", "bake").invocation is not one.invocation


async def test_a_stage_after_the_first_gets_one_argument(rabbit: Rabbit) -> None:
    with pytest.raises(ContractError, match=r"mill\.clean takes no argument"):
        made(rabbit, "grind", "clean")
    with pytest.raises(ContractError, match="needs 'scale' as well"):
        made(rabbit, "bake", "weigh")
    with pytest.raises(ContractError, match="as 'breads': string is not integer"):
        made(rabbit, "grind", "sell")


async def test_what_a_stage_gives_must_be_able_to_travel_to_the_next(rabbit: Rabbit) -> None:
    remote = rabbit.remote(Mill)
    made(rabbit, "grind", "tell")
    texts: Any = remote.list_all
    made(rabbit, "list_all", "tell_all")
    with pytest.raises(InvalidArgument, match="cannot carry"):
        rabbit.pipe(texts, remote.with_options(content_type="text/plain").tell_all)


async def test_a_pipe_is_no_method_of_a_remote(rabbit: Rabbit) -> None:
    remote = rabbit.remote(Mill)
    inner = rabbit.pipe(remote.grind, remote.bake)
    with pytest.raises(InvalidArgument, match="takes a method of a remote"):
        rabbit.pipe(inner, remote.sell)
    with pytest.raises(InvalidArgument, match="takes a method of a remote"):
        rabbit.send(inner)


@pytest.mark.parametrize("name", ["log", "watch", "fill"])
async def test_a_method_without_one_result_is_no_stage(rabbit: Rabbit, name: str) -> None:
    refused = rf"mill\.{name} cannot be a stage|mill\.{name}: pipe is for methods that do not str"
    with pytest.raises((ContractError, InvalidArgument), match=refused):
        made(rabbit, "grind", name)


async def test_a_priority_is_that_of_the_first_queue(rabbit: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match="priority 3 is more than the 0 of the first stage"):
        rabbit.with_options(priority=3).pipe(rabbit.remote(Mill).grind, rabbit.remote(Mill).bake)
