"""Reads a method's parameters and result, and refuses types that cannot travel."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_type_hints

import msgspec

from leveret.annotations import Hook, free_variables, substituted, with_bounds, with_hooks
from leveret.codec import check_type
from leveret.contract.hooks import check_hooks_in
from leveret.contract.specification import Upload
from leveret.contract.streams import Streamed, check_result, check_upload, streamed
from leveret.errors import ContractError

__all__ = ["Parameter", "Signature", "format_annotation", "read_signature"]

_EMPTY: Final = inspect.Parameter.empty
_KEYWORD_ONLY: Final = inspect.Parameter.KEYWORD_ONLY


class Parameter(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One parameter of a method, other than `self`."""

    name: str
    """Its name, which is also its name on the wire."""
    annotation: Any
    """Its type, bounds included."""
    keyword_only: bool
    """Whether it must be given by keyword."""
    default: Any = _EMPTY
    """Its default."""

    @property
    def has_default(self) -> bool:
        """Whether it can be left out."""
        return self.default is not _EMPTY


class Signature(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A method's parameters and the type of its result."""

    parameters: tuple[Parameter, ...]
    """The parameters in order, without the upload."""
    result: Any
    """The annotation of the result, or of each item if results stream."""
    streams: bool = False
    """Whether results stream."""
    on_loop: bool = False
    """Whether the function returns an async iterator, and so runs on the event loop."""
    upload: Upload | None = None
    """The parameter that streams, if one does."""
    open: tuple[str, ...] = ()
    """Its type variables, for which a subclass gives types."""

    def __str__(self) -> str:
        taken = [f"{p.name}: {format_annotation(p.annotation)}" for p in self.parameters]
        by_position = sum(not p.keyword_only for p in self.parameters)
        upload = self.upload
        if upload is not None:
            shown = f"{upload.name}: AsyncIterator[{format_annotation(upload.item)}]"
            taken.insert(len(taken) if upload.position is None else upload.position, shown)
            by_position += upload.position is not None
        if self.keyword_only:
            taken.insert(by_position, "*")
        result = format_annotation(self.result)
        return f"({', '.join(taken)}) -> {f'AsyncIterator[{result}]' if self.streams else result}"

    def carries_calls_of(self, other: Signature) -> bool:
        """Whether both take the same calls; defaults may differ."""
        mine, theirs = (
            [(p.name, p.annotation, p.keyword_only) for p in signature.parameters]
            for signature in (self, other)
        )
        return (
            mine == theirs
            and bool(self.result == other.result)
            and self.streams == other.streams
            and _same_upload(self.upload, other.upload)
        )

    @property
    def keyword_only(self) -> bool:
        """Whether any parameter must be given by keyword."""
        by_keyword = self.upload is not None and self.upload.position is None
        return by_keyword or any(parameter.keyword_only for parameter in self.parameters)


def _same_upload(one: Upload | None, other: Upload | None) -> bool:
    if one is None or other is None:
        return one is other
    same_place = one.name == other.name and one.position == other.position
    return same_place and bool(one.item == other.item)


def read_signature(
    function: Callable[..., Any],
    cls: type,
    given: Mapping[Any, Any],
    hooks: Iterable[Hook[Any]],
    where: str,
) -> Signature:
    """Read the signature of a method of `cls`; `where` names it in errors.

    :param given: the types for the type variables of the class that defines the method.
    :param hooks: the hooks of the service.
    :raises ContractError: for a missing `self` or annotation, `*args`, a forward reference that
        leads nowhere, and a type that cannot be encoded.
    """
    behind = inspect.unwrap(function)
    taken = list(inspect.signature(behind).parameters.values())
    if not taken or taken[0].kind not in {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise ContractError(f"{where}: give it `self` as its first parameter")
    if taken[0].name != "self" and taken[0].annotation is not _EMPTY:
        raise ContractError(
            f"{where}: its first parameter is {taken[0].name!r}, where `self` must be; write"
            f" `(self, {taken[0].name}: ...)`"
        )
    del taken[0]
    _refuse_variadic(taken, where)
    hints = _hints(behind, cls, where)
    if "return" not in hints:
        raise ContractError(f"{where}: its result has no annotation; write `-> int`, or `-> None`")
    results = streamed(hints["return"], f"{where}: its result")
    check_result(results, behind, where)
    on_loop = results is not None and results.on_loop
    upload = _take_upload(taken, hints, where)
    if upload is not None and not getattr(function, "__isabstractmethod__", False):
        runs_on_loop = on_loop or inspect.iscoroutinefunction(behind)
        check_upload(upload[1], on_loop=runs_on_loop, what=f"{where}: parameter {upload[0].name!r}")
    parameters = tuple(
        Parameter(
            name=parameter.name,
            annotation=_annotation(
                hints, parameter.name, given, hooks, f"{where}: parameter {parameter.name!r}"
            ),
            keyword_only=parameter.kind is _KEYWORD_ONLY,
            default=parameter.default,
        )
        for parameter in taken
        if upload is None or parameter.name != upload[0].name
    )
    if results is not None:
        hints["return"] = results.item
    result = _annotation(hints, "return", given, hooks, f"{where}: its result")
    made = None
    if upload is not None:
        made = _upload(taken, *upload, given, hooks, where)
    of_all = [*(parameter.annotation for parameter in parameters), result]
    of_all += [] if made is None else [made.item]
    names = dict.fromkeys(name for annotation in of_all for name in free_variables(annotation))
    return Signature(
        parameters=parameters,
        result=result,
        streams=results is not None,
        on_loop=on_loop,
        upload=made,
        open=tuple(names),
    )


def _take_upload(
    taken: Iterable[inspect.Parameter], hints: Mapping[str, Any], where: str
) -> tuple[inspect.Parameter, Streamed] | None:
    """Find the parameter that streams.

    :raises ContractError: if there are two, or it has a default.
    """
    found: list[tuple[inspect.Parameter, Streamed]] = []
    for parameter in taken:
        what = f"{where}: parameter {parameter.name!r}"
        stream = streamed(hints.get(parameter.name), what)
        if stream is None:
            continue
        found.append((parameter, stream))
        if parameter.default is not _EMPTY:
            raise ContractError(f"{what} streams, and cannot have a default; drop it")
    if len(found) > 1:
        names = " and ".join(repr(parameter.name) for parameter, _ in found)
        raise ContractError(f"{where}: the parameters {names} stream, and only one can")
    return found[0] if found else None


def _upload(
    taken: list[inspect.Parameter],
    parameter: inspect.Parameter,
    stream: Streamed,
    given: Mapping[Any, Any],
    hooks: Iterable[Hook[Any]],
    where: str,
) -> Upload:
    name = parameter.name
    what = f"{where}: each item of parameter {name!r}"
    position = None if parameter.kind is _KEYWORD_ONLY else taken.index(parameter)
    item = _annotation({name: stream.item}, name, given, hooks, what)
    return Upload(name=name, item=item, position=position)


def _refuse_variadic(taken: list[inspect.Parameter], where: str) -> None:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    kinds = {parameter.kind for parameter in taken}
    for parameter in taken:
        if parameter.kind in stars:
            raise ContractError(
                f"{where}: parameter {stars[parameter.kind]}{parameter.name} cannot be remote; "
                "name every parameter, or take one list or dict"
            )
    if inspect.Parameter.POSITIONAL_ONLY in kinds and _KEYWORD_ONLY in kinds:
        raise ContractError(
            f"{where}: parameter {taken[0].name!r} is positional-only next to keyword-only ones; "
            "remove the `/`: arguments travel by name"
        )


def _hints(function: Callable[..., Any], cls: type, where: str) -> dict[str, Any]:
    try:
        try:
            return get_type_hints(function, include_extras=True)
        except NameError:
            # Types that are defined inside the service class itself.
            return get_type_hints(function, localns=dict(vars(cls)), include_extras=True)
    except NameError as error:
        raise ContractError(
            f"{where}: {_naming(function, error.name)} names {error.name!r}, which does not exist "
            "when the class is defined; import it outside `if TYPE_CHECKING:`, and define it at "
            "module level, above the service"
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise ContractError(f"{where}: its annotations cannot be read: {error}") from error


def _naming(function: Callable[..., Any], missing: str | None) -> str:
    """Say which annotation names what is missing."""
    for name, annotation in function.__annotations__.items():
        if missing and missing in str(annotation):
            return "its result" if name == "return" else f"parameter {name!r}"
    return "an annotation"


def _annotation(
    hints: Mapping[str, Any],
    name: str,
    given: Mapping[Any, Any],
    hooks: Iterable[Hook[Any]],
    what: str,
) -> Any:
    """Return one annotation as codecs read it.

    Its variables are replaced by types, its bounds are Meta, and its hooks are in it.
    """
    if name not in hints:
        raise ContractError(f"{what} has no annotation; write its type, as in `{name}: int`")
    try:
        annotation = substituted(hints[name], given)
        free_variables(annotation)
        annotation = with_bounds(annotation)
        check_hooks_in(annotation)
        annotation = with_hooks(annotation, hooks)
        check_type(annotation)
    except TypeError as error:
        raise ContractError(
            f"{what} has the type {format_annotation(hints[name])}, which cannot travel: {error}"
        ) from error
    return annotation


def format_annotation(annotation: Any) -> str:
    """Return an annotation the way it is written in source."""
    if isinstance(annotation, type) and not hasattr(annotation, "__origin__"):
        return "None" if annotation is type(None) else annotation.__qualname__
    return str(annotation).replace("typing.", "").replace("msgspec.", "")
