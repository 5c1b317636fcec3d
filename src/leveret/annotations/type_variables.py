"""Type variables, and what stands for them: `class Items(Repo[Item])` says that `T` is `Item`.

Nothing on the wire says what a type variable stands for. So it is known when a class is defined, or
the class cannot be served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, ForwardRef, Generic, TypeVar, Union, get_args, get_origin

from leveret.annotations.parts import alias_in, meaning, parts, with_parts

__all__ = ["TypeArguments", "free_variables", "substituted"]

_NOTHING: Any = object()


class TypeArguments:
    """What stands for the type variables of a class and of each of its bases.

    A variable of the class itself stands for itself: a subclass will say. One of several types
    (`TypeVar("N", int, str)`) is their union until then, as msgspec has none of that kind.
    """

    def __init__(self, cls: type) -> None:
        self._of: dict[type, Mapping[Any, Any]] = {}
        self._read(cls, {variable: _open(variable) for variable in _variables(cls)})

    def of(self, base: type) -> Mapping[Any, Any]:
        """By the type variables of this base; those that nothing was given for are missing."""
        return self._of.get(base, {})

    def _read(self, cls: type, given: Mapping[Any, Any]) -> None:
        self._of.setdefault(cls, given)
        for base in _bases(cls):
            origin = get_origin(base) or base
            if isinstance(origin, type) and origin is not Generic:
                inner = (substituted(part, given) for part in get_args(base))
                self._read(origin, dict(zip(_variables(origin), inner, strict=False)))


def substituted(
    annotation: Any, given: Mapping[Any, Any], inside: frozenset[Any] = frozenset()
) -> Any:
    """Return the annotation with what stands for its type variables.

    Names of types (`type Prices = list[float]`, a NewType) are replaced by what they mean.

    :param inside: the names that it is part of the meaning of.
    :raises TypeError: for a variable that nothing stands for, or something that it does not allow;
        and for a name that means something with itself inside, or nothing yet.
    """
    if isinstance(annotation, TypeVar):
        return _argument(annotation, given)
    if isinstance(annotation, ForwardRef | str):
        text = getattr(annotation, "__forward_arg__", annotation)
        raise TypeError(f"{text!r} is a text where a type must be; write it unquoted")
    alias = alias_in(annotation)
    if alias is not None:
        arguments = (substituted(part, given, inside) for part in get_args(annotation))
        named = dict(zip(getattr(alias, "__type_params__", ()), arguments, strict=False))
        return substituted(_meaning(alias, inside), named, inside | {alias})
    of_model = _variables_of_model(annotation)
    if of_model:
        return annotation[tuple(substituted(variable, given) for variable in of_model)]
    return with_parts(annotation, lambda part: substituted(part, given, inside))


def free_variables(annotation: Any) -> list[str]:
    """Return the names of the type variables that nothing stands for yet, in the annotation.

    :raises TypeError: where a generic class stands without its brackets, as `Page` for `Page[int]`.
    """
    found: dict[str, None] = {}
    for node, field in parts(annotation):
        if isinstance(node, TypeVar):
            if not field:
                found[node.__name__] = None
        elif _variables_of_model(node):
            found.update((variable.__name__, None) for variable in _variables_of_model(node))
        elif isinstance(node, type) and not get_args(node):
            _refuse_open(node)
    return list(found)


def _meaning(alias: Any, inside: frozenset[Any]) -> Any:
    """Return what a name of a type means."""
    name = alias.__name__
    if alias in inside:
        raise TypeError(
            f"{name} means something with {name} inside, which only a class may; write a "
            "msgspec.Struct or a dataclass, or Any"
        )
    try:
        return meaning(alias)
    except NameError as error:
        raise TypeError(
            f"{name} names {error.name!r}, which does not exist when the class is defined"
        ) from error


def _refuse_open(cls: type) -> None:
    """Refuse a generic class without its brackets, unless its variables say what they are."""
    open_ = [v for v in _variables(cls) if isinstance(v, TypeVar) and v.__bound__ is None]
    if open_ and cls is not Generic:
        names = ", ".join(variable.__name__ for variable in open_)
        raise TypeError(
            f"nothing says what {names} of {cls.__name__} is; write {cls.__name__}[...] with its "
            f"types, or {cls.__name__}[{', '.join(['Any'] * len(_variables(cls)))}]"
        )


@lru_cache(1024)
def _open(variable: Any) -> Any:
    """Return what stands for a variable of a class itself: always the same for the same one."""
    constraints = getattr(variable, "__constraints__", ())
    if not constraints:
        return variable
    make: Any = TypeVar  # checkers would take it for a definition
    one_of: Any = Union
    return make(variable.__name__, bound=one_of[constraints])


def _argument(variable: TypeVar, given: Mapping[Any, Any]) -> Any:
    found = given.get(variable, getattr(variable, "__default__", _NOTHING))
    if found is _NOTHING or type(found).__name__ in {"NoDefault", "NoDefaultType"}:
        raise TypeError(
            f"nothing says what the type variable {variable.__name__} is: write a type, or make it "
            "one of the class and give its type in a subclass, as in `class Items(Repo[Item])`"
        )
    if not _allows(variable, found):
        allowed = variable.__bound__ or " or ".join(map(_name, variable.__constraints__))
        raise TypeError(
            f"{_name(found)} cannot stand for {variable.__name__}, which is {_name(allowed)}"
        )
    return found


def _allows(variable: TypeVar, argument: Any) -> bool:
    """Whether a type may stand for a variable, as far as can be told at run time."""
    while get_origin(argument) is Annotated:
        argument = get_args(argument)[0]
    if isinstance(argument, TypeVar) or argument is Any:
        return True
    if variable.__constraints__:
        return argument in variable.__constraints__
    if get_origin(argument) in {Union, UnionType}:
        return all(_allows(variable, member) for member in get_args(argument))
    bound = get_origin(variable.__bound__) or variable.__bound__
    argument = get_origin(argument) or argument
    if not isinstance(bound, type) or not isinstance(argument, type):
        return True
    try:
        return issubclass(argument, bound)
    except TypeError:  # a protocol that cannot be asked
        return True


def _variables(cls: Any) -> tuple[Any, ...]:
    """Return the type variables of a class, before `Generic` has noted them as well."""
    bases = vars(cls).get("__orig_bases__", ()) if isinstance(cls, type) else ()
    for base in bases:
        if getattr(get_origin(base), "__name__", "") in {"Generic", "Protocol"}:
            return get_args(base)
    return tuple(dict.fromkeys(_of_all(bases)))


def _of_all(bases: Iterable[Any]) -> Iterable[Any]:
    for base in bases:
        if get_args(base):
            yield from getattr(base, "__parameters__", ())


def _variables_of_model(annotation: Any) -> tuple[Any, ...]:
    """Return the type variables of pydantic's `Page[T]`, which is the class `Page` itself."""
    found = getattr(annotation, "__pydantic_generic_metadata__", {})
    return tuple(found.get("parameters", ()))


def _bases(cls: type) -> tuple[Any, ...]:
    found: tuple[Any, ...] = vars(cls).get("__orig_bases__", cls.__bases__)
    return found


def _name(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
