"""What stands for a type variable, and what is refused where nothing does."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Generic, NewType, Protocol, TypeVar

import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType
from typing_extensions import TypeVar as TypeVarWithDefault

from leveret.annotations import TypeArguments, free_variables, substituted
from tests.unit.annotations.lazy_aliases import lazy_alias

T = TypeVar("T")
U = TypeVar("U")
AnyT: Any = T  # where no class or function binds it, type checkers want none
AnyU: Any = U
Number = TypeVar("Number", bound=int)
Text = TypeVar("Text", str, bytes)
WithDefault = TypeVarWithDefault("WithDefault", default=int)
Many = TypeAliasType("Many", list[T], type_params=(T,))
Names = TypeAliasType("Names", list[str])
Sku = NewType("Sku", bytes)
Dict: Any = dict  # mypy would read the brackets as a type
Tree: Any = lazy_alias("Tree", lambda: Dict[str, Tree] | int)
Later = lazy_alias("Later", lambda: list[Nowhere])  # type: ignore[name-defined]  # noqa: F821


class Repo(Generic[T]): ...


class Mid(Repo[list[U]], Generic[U]): ...


class SameName(Repo[dict[str, T]], Generic[T]): ...


class Implicit(Repo[U]): ...


class Leaf(Mid[int], SameName[bool]): ...


class Bare(Repo): ...  # type: ignore[type-arg]


class Has(Protocol[T]): ...  # type: ignore[misc]


class Fits(Has[int]): ...


class Sized(Protocol):
    size: int


Big = TypeVar("Big", bound=Sized)


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Bounded(msgspec.Struct, Generic[Number]):
    n: Number


class Ints(Page[int]): ...


class Holder(msgspec.Struct):
    page: Page  # type: ignore[type-arg]


class Model(pydantic.BaseModel, Generic[T]):
    item: T


@pytest.mark.parametrize(
    ("cls", "base", "given"),
    [
        (Repo, Repo, {T: T}),
        (Mid, Repo, {T: list[AnyU]}),
        (Mid, Mid, {U: U}),
        (SameName, Repo, {T: dict[str, AnyT]}),
        (Implicit, Repo, {T: U}),
        (Leaf, Mid, {U: int}),
        (Leaf, SameName, {T: bool}),
        (Leaf, Leaf, {}),
        (Bare, Repo, {}),
        (Fits, Has, {T: int}),
        (int, Repo, {}),
    ],
)
def test_each_base_has_its_own_arguments(cls: type, base: type, given: dict[Any, Any]) -> None:
    assert TypeArguments(cls).of(base) == given


@pytest.mark.parametrize(
    ("annotation", "given", "meant"),
    [
        (T, {T: int}, int),
        (dict[str, Page[AnyT]] | None, {T: int}, dict[str, Page[int]] | None),
        (Annotated[list[AnyT], "a note"], {T: int}, Annotated[list[int], "a note"]),
        (T, {T: U}, U),
        (Number, {Number: bool}, bool),
        (Number, {Number: bool | int}, bool | int),
        (Number, {Number: Annotated[int, msgspec.Meta(ge=0)]}, Annotated[int, msgspec.Meta(ge=0)]),
        (Number, {Number: Number}, Number),
        (Text, {Text: bytes}, bytes),
        (Big, {Big: int}, int),
        (WithDefault, {}, int),
        (Names, {}, list[str]),
        (dict[str, Sku], {}, dict[str, bytes]),
        (Many[AnyU], {U: int}, list[int]),
        (Model[AnyT], {T: int}, Model[int]),
        (int, {}, int),
    ],
    ids=str,
)
def test_types_stand_for_variables_at_any_depth(
    annotation: Any, given: dict[Any, Any], meant: Any
) -> None:
    assert substituted(annotation, given) == meant


@pytest.mark.parametrize(
    ("annotation", "given", "reason"),
    [
        (
            list[AnyT],
            {U: int},
            "nothing says what the type variable T is: write a type",
        ),
        (Number, {Number: str}, "str cannot stand for Number, which is int"),
        (Number, {Number: int | None}, r"int \| None cannot stand for Number, which is int"),
        (Text, {Text: int}, "int cannot stand for Text, which is str or bytes"),
        (T, {T: list["Item"]}, None),  # type: ignore[name-defined]  # noqa: F821
        (Repo["Item"], {}, "'Item' is a text where a type must be; write it unquoted"),  # type: ignore[name-defined]
        (Many[Tree], {}, "Tree means something with Tree inside, which only a class may"),
        (Later, {}, "Later names 'Nowhere', which does not exist when the class is defined"),
        (list["Item"], {}, "'Item' is a text"),  # type: ignore[name-defined]  # noqa: F821
    ],
    ids=str,
)
def test_what_cannot_stand_there_is_refused(
    annotation: Any, given: dict[Any, Any], reason: str | None
) -> None:
    if reason is None:
        assert substituted(annotation, given) == given[T]
        return
    with pytest.raises(TypeError, match=reason):
        substituted(annotation, given)


def test_free_variables_are_named_once() -> None:
    assert free_variables(dict[str, Page[AnyT] | list[AnyT] | AnyU]) == ["T", "U"]
    assert free_variables(Model[AnyT]) == ["T"]
    assert free_variables(Page[int]) == free_variables(Ints) == free_variables(Bounded) == []


@pytest.mark.parametrize("annotation", [Page, list[Page], Holder])  # type: ignore[type-arg]
def test_a_generic_class_needs_its_brackets(annotation: Any) -> None:
    with pytest.raises(
        TypeError, match=r"what T of Page is; write Page\[\.\.\.\].* or Page\[Any\]"
    ):
        free_variables(annotation)


if sys.version_info >= (3, 12):

    def test_the_syntax_of_python_3_12_says_the_same() -> None:
        names: dict[str, Any] = {}
        source = """if True:
            class Repo[T]:
                def save(self, x: T) -> T: ...
                def cast[U](self, x: U) -> U: ...
            class Ints(Repo[int]): ...
            class Bounded[N: int](Repo[list[N]]): ...
            type Many[V] = list[V]
        """
        exec(source, names)
        repo, given = names["Repo"], TypeArguments(names["Ints"]).of(names["Repo"])
        (variable,) = repo.__type_params__
        assert given == {variable: int}
        assert substituted(names["Many"][variable], given) == list[int]
        (own,) = repo.cast.__type_params__
        with pytest.raises(TypeError, match="nothing says what the type variable U is"):
            substituted(own, given)
        (bounded,) = names["Bounded"].__type_params__
        assert TypeArguments(names["Bounded"]).of(repo) == {variable: list[bounded]}
