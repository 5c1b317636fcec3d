"""A method's parameters as a struct, and its signature's ways to be called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from leveret.codec import MSGPACK
from leveret.contract import MethodSpec, Service, method, spec_of
from leveret.errors import ContractError


@dataclass
class Settings:
    depth: int = 3


class Signatures(Service):
    class Inner(msgspec.Struct):
        """A type that is known inside the class only."""

        n: int

    @method
    async def mixed(self, a: int, b: str = "b", *, c: float, d: bool = True) -> None: ...

    @method
    async def keywords(self, *, a: int, b: int = 2) -> None: ...

    @method
    async def nothing(self) -> None: ...

    @method
    async def positional(self, a: int, /, b: int) -> None: ...

    @method
    async def mutable(
        self,
        empty: list[int] = [],  # noqa: B006
        full: dict[str, list[int]] = {"a": [1]},  # noqa: B006
        settings: Settings = Settings(),  # noqa: B008
        constant: tuple[int, ...] = (1, 2),
    ) -> None: ...

    @method
    async def inner(self, value: Inner) -> list[Inner]:
        return [value]

    @method(content_type=MSGPACK)
    async def endless(self, limit: float = float("inf")) -> None: ...


def method_of(attribute: str) -> MethodSpec:
    return spec_of(Signatures).methods[attribute]


def test_fields_are_in_the_order_of_the_signature_with_its_defaults() -> None:
    spec = method_of("mixed")
    assert spec.keyword_only
    assert spec.parameters.__struct_fields__ == ("a", "b", "c", "d")
    assert msgspec.structs.astuple(spec.parameters(1, c=2.0)) == (1, "b", 2.0, True)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, "x"), {"c": 1.0, "d": False}),
        ((1,), {"b": "x", "c": 1.0, "d": False}),
        ((), {"a": 1, "b": "x", "c": 1.0, "d": False}),
    ],
)
def test_arguments_can_be_given_by_position_and_by_name(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    parameters = method_of("mixed").parameters
    assert msgspec.structs.astuple(parameters(*args, **kwargs)) == (1, "x", 1.0, False)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {"c": 1.0}), ((1, "x", 1.0), {}), ((1,), {"c": 1.0, "e": 1}), ((1,), {"a": 1, "c": 1.0})],
)
def test_a_call_that_python_would_refuse_is_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        method_of("mixed").parameters(*args, **kwargs)


def test_only_keyword_only_parameters_are_possible() -> None:
    spec = method_of("keywords")
    assert spec.keyword_only
    assert msgspec.structs.asdict(spec.parameters(a=1)) == {"a": 1, "b": 2}
    with pytest.raises(TypeError):
        spec.parameters(1)


def test_a_method_may_have_no_parameters() -> None:
    assert method_of("nothing").parameters.__struct_fields__ == ()
    assert method_of("nothing").result is type(None)


def test_positional_only_parameters_are_called_by_position() -> None:
    assert not method_of("positional").keyword_only


def test_unknown_fields_are_refused_when_decoding() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `z`"):
        msgspec.json.decode(b'{"a":1,"z":2}', type=method_of("keywords").parameters)


def test_mutable_defaults_are_copied_for_each_call() -> None:
    parameters: Any = method_of("mutable").parameters
    first, second = parameters(), parameters()
    first.empty.append(1)
    first.full["a"].append(2)
    first.settings.depth = 4
    assert (second.empty, second.full, second.settings) == ([], {"a": [1]}, Settings())
    assert second.constant is first.constant


def test_types_defined_inside_the_service_are_found() -> None:
    assert method_of("inner").result == list[Signatures.Inner]


def test_a_default_need_only_fit_the_methods_own_content_type() -> None:
    assert method_of("endless").parameters().limit == float("inf")  # type: ignore[attr-defined]
    with pytest.raises(ContractError, match="the default inf, which does not fit float"):

        class Json(Service):
            @method
            async def endless(self, limit: float = float("inf")) -> None: ...
