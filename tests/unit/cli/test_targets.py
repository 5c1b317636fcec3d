"""`module:Service` on the command line."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret import CurrentCall, ServerCallNext, Service, method
from leveret.cli.serving.changes import watched
from leveret.cli.targets import TargetError, find_target, load_middleware, load_services

HERE = "desk_of_this_test"


class Desk(Service, name="desk"):
    @method
    async def fib(self, n: int) -> int:
        return n


class Contract(Service, name="desk"):
    @method
    @abstractmethod
    async def fib(self, n: int) -> int: ...


class Fails(Service):
    def __init__(self) -> None:
        raise RuntimeError("no database")


async def make_desk_async() -> Desk:
    return Desk()


def make_with(dsn: str) -> Desk:
    return Desk()


async def logged(call: CurrentCall, call_next: ServerCallNext) -> object:
    return await call_next(call)


class Shelf:
    desk = Desk()
    number = 7


@pytest.fixture(autouse=True)
def this_module_is_importable() -> Iterator[None]:
    sys.modules[HERE] = sys.modules[__name__]
    yield
    del sys.modules[HERE]


def test_a_class_is_instantiated() -> None:
    (service,) = load_services([f"{HERE}:Desk"])
    assert type(service) is Desk


def test_an_instance_is_taken_as_it_is_from_wherever_the_dots_lead() -> None:
    assert load_services([f"{HERE}:Shelf.desk"]) == [Shelf.desk]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Contract", r"a contract without implementation \(fib\)"),
        ("Fails", r"raised RuntimeError: no database \(.*test_targets.py, line \d+\)"),
        ("make_desk_async", "__aenter__"),
        ("make_with", r"make_with\(dsn: 'str'\) -> 'Desk' cannot be called without arguments"),
        ("Shelf", "is the class Shelf; name a subclass of leveret.Service"),
        ("Shelf.number", "is of type int; name a subclass of leveret.Service"),
        ("Shelf.chair", "has no 'chair'"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(name: str, said: str) -> None:
    with pytest.raises(TargetError, match=said):
        load_services([f"{HERE}:{name}"])


@pytest.mark.parametrize("target", ["", "desk", "desk:", ":Desk"])
def test_a_target_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(TargetError, match="write module:Service"):
        find_target(target)


@pytest.mark.parametrize("module", ["not_there", "not.there", f"{HERE}.deeper"])
def test_a_module_that_is_not_there_is_named(module: str) -> None:
    with pytest.raises(TargetError, match="there is no module"):
        find_target(f"{module}:Desk")


def test_where_the_current_folder_was_removed_only_that_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "release-1"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find_target(f"{HERE}:Desk") is Desk
    with pytest.raises(TargetError, match=r"'not_there', neither here, in a folder that was rem"):
        find_target("not_there:Desk")
    assert watched(["not_there:Desk"]) == []


def test_middleware_is_what_takes_a_call_and_what_comes_next() -> None:
    assert load_middleware([f"{HERE}:logged"]) == [logged]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "make_with",
            "is def make_with; name middleware, which is an `async def (call, call_next)`",
        ),
        ("Desk", "is the class Desk; name middleware"),
        ("Shelf.number", "is of type int; name middleware"),
        ("nothing", "has no 'nothing'"),
    ],
)
def test_what_cannot_be_middleware_is_refused(name: str, told: str) -> None:
    with pytest.raises(TargetError) as refused:
        load_middleware([f"{HERE}:{name}"])
    assert told in str(refused.value)


def test_middleware_without_its_module_is_told_the_form() -> None:
    with pytest.raises(TargetError, match="'logged' is no target: write module:function"):
        load_middleware(["logged"])
