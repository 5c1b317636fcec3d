"""Reads the description of a service into what a document tells of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from leveret.contract.hoisting import Hoisted
from leveret.documents.pages import Member, MethodPage, Server, ServicePage, TypePage
from leveret.documents.python_types import PythonTypes
from leveret.errors import ContractError

__all__ = ["read_page"]

_UNREADABLE: Final = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What comes of a description that is none."""
_SWITCHES: Final[Mapping[str, str]] = {
    "idempotent": "running a call twice does no harm, so one that a crash interrupted runs again",
    "once": "each call has a key, and has its effect once",
    "one_way": "requests are persistent, and nobody answers them",
    "keep_failed": "one-way requests that failed are kept: leveret failed ls",
    "resume": "a stream that broke goes on at another server",
}
_LONGEST_LINE: Final = 88
"""Characters of a signature that stands in one line."""
_POLICIES: Final[Mapping[str, str]] = {"retry": "not tried again", "hedge": "no second request"}
"""What a policy is that is off."""


def read_page(
    description: Mapping[str, Any], servers: Iterable[Server] | None = None
) -> ServicePage:
    """Read a description.

    :param description: as `service_schema` gives it.
    :param servers: who serves it now, where that is known.
    :raises ContractError: if it cannot be read.
    """
    try:
        return _Reader().page(description, servers)
    except _UNREADABLE as error:
        raise ContractError(f"the description of a service cannot be read: {error!r}") from error


class _Reader:
    def __init__(self) -> None:
        self._hoisted = Hoisted()
        self._types = PythonTypes()
        self._inline: dict[str, Mapping[str, Any]] = {}
        """Classes that stand in a schema without a name that could be referred to."""
        self._starts = False
        """Whether servers take started calls."""

    def page(self, description: Mapping[str, Any], servers: Iterable[Server] | None) -> ServicePage:
        self._starts = description.get("starts") is True
        methods = tuple(
            self._method(f"{description['service']}.{name}", str(name), method)
            for name, method in description["methods"].items()
        )
        known = {**self._inline, **self._hoisted.definitions}
        return ServicePage(
            name=str(description["service"]),
            about=_text(description.get("doc")),
            methods=methods,
            types=tuple(self._type(name, known[name]) for name in sorted(known)),
            servers=None if servers is None else tuple(servers),
        )

    def _method(self, key: str, name: str, method: Mapping[str, Any]) -> MethodPage:
        arguments = self._hoisted.schema(method["arguments"])
        result = self._hoisted.schema(method["result"])
        parameters = list(self._members(arguments))
        upload = method.get("upload")
        by_keyword = set(method.get("keyword_only", ()))
        if upload is not None:
            item = self._hoisted.schema(upload["item"])
            taken = self._member(str(upload["name"]), item, required=True)
            streamed = Member(
                name=taken.name,
                type=f"AsyncIterator[{taken.type}]",
                bounds=taken.bounds,
                about=taken.about,
            )
            position = upload.get("position")
            if isinstance(position, int):
                parameters.insert(position, streamed)
            else:
                parameters.append(streamed)
                by_keyword.add(streamed.name)
        gives = self._member("", result, required=True)
        errors = tuple(
            self._error(str(code), self._hoisted.schema(schema))
            for code, schema in method.get("errors", {}).items()
        )
        return MethodPage(
            name=name,
            key=key,
            signature=_signature(name, parameters, by_keyword, gives, method),
            about=_text(method.get("doc")),
            parameters=tuple(parameters),
            result=gives,
            streams=method.get("streams") is True,
            errors=errors,
            options=tuple(_options(method, starts=self._starts)),
            types=tuple(self._reached([method["arguments"], method["result"], upload or {}])),
        )

    def _members(self, schema: Mapping[str, Any]) -> Iterator[Member]:
        required = schema.get("required", ())
        for name, member in schema.get("properties", {}).items():
            yield self._member(str(name), member, required=name in required)

    def _member(self, name: str, schema: Mapping[str, Any], *, required: bool) -> Member:
        self._note(schema)
        default = None if required else self._types.default(schema) or "..."
        return Member(
            name=name,
            type=self._types.text(schema),
            bounds=self._types.bounds(schema),
            default=default,
            about=_text(schema.get("description")) if "properties" not in schema else "",
        )

    def _note(self, schema: Mapping[str, Any]) -> None:
        """Remember a class that stands in a schema itself."""
        if isinstance(schema.get("properties"), Mapping) and isinstance(schema.get("title"), str):
            self._inline.setdefault(schema["title"], schema)

    def _type(self, name: str, schema: Mapping[str, Any]) -> TypePage:
        members = tuple(self._members(schema))
        first = schema.get("prefixItems")
        if not members and isinstance(first, list):  # a named tuple
            least = schema.get("minItems", 0)
            members = tuple(
                self._member(str(at), item, required=at < least) for at, item in enumerate(first)
            )
        return TypePage(
            name=name,
            about=_text(schema.get("description")),
            members=members,
            values=self._types.values(schema),
        )

    def _error(self, code: str, schema: Mapping[str, Any]) -> TypePage:
        title = schema.get("title")
        return TypePage(
            name=title if isinstance(title, str) else code,
            about=_text(schema.get("description")),
            members=tuple(self._members(schema)),
            code=code,
        )

    def _reached(self, schemas: Iterable[Mapping[str, Any]]) -> list[str]:
        """The classes that a method's own schemas name, as the document names them."""
        found: set[str] = set()
        left: list[Any] = [self._hoisted.schema(it.get("item", it)) for it in schemas]
        while left:
            tree = left.pop()
            if isinstance(tree, Mapping):
                reference = tree.get("$ref")
                name = str(reference).rpartition("/")[2] if reference is not None else ""
                if name in self._hoisted.definitions and name not in found:
                    found.add(name)
                    left.append(self._hoisted.definitions[name])
                if tree.get("title") in self._inline:
                    found.add(tree["title"])
                left.extend(tree.values())
            elif isinstance(tree, list):
                left.extend(tree)
        return sorted(found)


def _signature(
    name: str,
    parameters: Iterable[Member],
    by_keyword: set[str],
    result: Member,
    method: Mapping[str, Any],
) -> str:
    shown: dict[bool, list[str]] = {False: ["self"], True: []}
    before = ""
    for it in parameters:
        default = "" if it.default is None else f" = {it.default}"
        # After one that can be left out, one that cannot can stand only there.
        is_keyword = it.name in by_keyword or (bool(before) and not default)
        before = before or ("" if is_keyword else default)
        shown[is_keyword].append(f"{it.name}: {it.type}{default}")
    taken = [*shown[False], *(["*", *shown[True]] if shown[True] else [])]
    gives = f"AsyncIterator[{result.type}]" if method.get("streams") is True else result.type
    in_one_line = f"async def {name}({', '.join(taken)}) -> {gives}"
    if len(in_one_line) <= _LONGEST_LINE:
        return in_one_line
    lines = "".join(f"    {it},\n" for it in taken)
    return f"async def {name}(\n{lines}) -> {gives}"


def _options(method: Mapping[str, Any], *, starts: bool) -> Iterator[tuple[str, str]]:
    yield "timeout", _seconds(method.get("timeout", 10.0))
    yield "content type", str(method.get("content_type", "application/json"))
    for name, text in _SWITCHES.items():
        if method.get(name) is True:
            yield name.replace("_", " "), text
    for name, off in _POLICIES.items():
        policy = method.get(name)
        if policy is False:
            yield name, off
        elif isinstance(policy, Mapping):
            shown = (f"{key} {value}" for key, value in policy.items() if value is not None)
            yield name, ", ".join(shown)
    if starts:
        yield "started calls", "its servers take them: their store outlives them"
    yield "queue", ", ".join(_queue(method))


def _queue(method: Mapping[str, Any]) -> Iterator[str]:
    yield str(method.get("queue", f"leveret.{method.get('key', '')}"))
    yield str(method.get("queue_type", "classic"))
    if "max_length" in method:
        yield f"at most {method['max_length']} requests wait"
    if "expires" in method:
        yield f"deleted after {_seconds(method['expires'])} without a server"
    if method.get("priority_levels"):
        yield f"priorities 0 to {method['priority_levels']}"


def _seconds(value: object) -> str:
    return f"{value:g} s" if isinstance(value, int | float) else str(value)


def _text(value: object) -> str:
    return inspect.cleandoc(value) if isinstance(value, str) else ""
