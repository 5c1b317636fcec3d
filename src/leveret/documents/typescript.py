"""Services as TypeScript: what the client in `examples/node/leveret.ts` needs of them.

Of each service it is an interface with its methods, a class for each declared error, and a table of
what a client has to know at run time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from leveret.contract.hoisting import Hoisted
from leveret.documents.typescript_types import comment, members, property_name, type_of
from leveret.errors import ContractError

__all__ = ["typescript"]

_UNREADABLE: Final = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What comes of a description that is none."""
_CARRIED: Final = frozenset({"application/json", "application/msgpack", "text/plain"})
"""The content types of methods that also take JSON."""
_OF_THE_CLIENT: Final = ("CallOptions", "Contract", "DeclaredError", "Promise", "Record")
"""Names that a generated file has of its own."""


def typescript(descriptions: Iterable[Mapping[str, Any]], *, client: str = "./leveret.ts") -> str:
    """Write services as one file of TypeScript.

    Methods that stream or answer nobody are left out, and named in a comment: that client has no
    such calls. So are those whose bodies are no JSON.

    :param descriptions: as `service_schema` gives them.
    :param client: where the file imports the client from.
    :raises ContractError: if a description cannot be read.
    """
    try:
        return _File(descriptions).text(client)
    except _UNREADABLE as error:
        raise ContractError(f"the description of a service cannot be read: {error!r}") from error


class _File:
    def __init__(self, descriptions: Iterable[Mapping[str, Any]]) -> None:
        self._taken: set[str] = {*_OF_THE_CLIENT}
        self._hoisted = Hoisted()
        self._names: dict[str, str] = {}
        """What each class of a schema is called here."""
        self._parts: list[list[str]] = []
        self._errors: dict[str, dict[str, Any]] = {}
        """What each class of a declared error has, by its name here."""
        every = list(descriptions)
        self._services = [_in_one_line(one["service"]) for one in every]
        self._contracts = [self._service(one) for one in every]

    def text(self, client: str) -> str:
        """The whole file."""
        types = [
            [*comment(_about(it)), *self._type(name, it)]
            for name, it in sorted(self._hoisted.definitions.items())
        ]
        values = "DeclaredError, " if self._errors else ""
        head = [
            f"// Made by `leveret schema --typescript`, of: {', '.join(self._services)}.",
            f"import {{ {values}type CallOptions, type Contract }} from {json.dumps(client)};",
        ]
        parts = [head, *types, *self._parts, *self._contracts]
        return "\n\n".join("\n".join(part) for part in parts) + "\n"

    def _type(self, name: str, schema: Mapping[str, Any]) -> list[str]:
        named = self._name(name)
        if isinstance(schema.get("properties"), Mapping):
            return [f"export interface {named} {{", *_indented(self._members(schema)), "}"]
        return [f"export type {named} = {self._written(schema)};"]

    def _service(self, description: Mapping[str, Any]) -> list[str]:
        service = str(description["service"])
        interface = self._fresh("".join(map(_capital, service.split("_"))))
        value = self._fresh(_identifier(service))
        lines, facts, left_out = [], [], []
        for name, method in description["methods"].items():
            if not _is_carried(method):
                left_out.append(_in_one_line(name))
                continue
            lines += _indented([*comment(_about(method, "doc")), self._method(name, method)])
            facts.append(f"    {property_name(name)}: {self._facts(method)},")
        note = [f"// Left out, as they stream or have no reply: {', '.join(left_out)}."]
        return [
            *(note if left_out else []),
            *comment(_about(description, "doc")),
            f"export interface {interface} {{",
            *lines,
            "}",
            "",
            f"export const {value}: Contract<{interface}> = {{",
            f"  service: {json.dumps(service)},",
            "  methods: {",
            *facts,
            "  },",
            "};",
        ]

    def _method(self, name: object, method: Mapping[str, Any]) -> str:
        arguments = self._hoisted.schema(method["arguments"])
        given = self._written({**arguments, "type": "object"})
        mark = "" if arguments.get("required") else "?"
        result = self._written(self._hoisted.schema(method["result"]))
        result = "void" if result == "null" else result
        return (
            f"{property_name(name)}(args{mark}: {given}, options?: CallOptions): Promise<{result}>;"
        )

    def _facts(self, method: Mapping[str, Any]) -> str:
        facts = [f"timeout: {float(method.get('timeout', 10.0)):g}"]
        facts += [f"{name}: true" for name in ("idempotent", "once") if method.get(name) is True]
        errors = [
            f"{property_name(code)}: {self._error(str(code), self._hoisted.schema(schema))}"
            for code, schema in method.get("errors", {}).items()
        ]
        if errors:
            facts.append(f"errors: {{ {', '.join(errors)} }}")
        return f"{{ {', '.join(facts)} }}"

    def _error(self, code: str, schema: dict[str, Any]) -> str:
        wanted = _identifier(str(schema.get("title", code)))
        for name, found in self._errors.items():
            if found == schema and name.rstrip("_0123456789") == wanted.rstrip("_0123456789"):
                return name
        name = self._fresh(wanted)
        self._errors[name] = schema
        data = self._written({**schema, "type": "object"})
        line = f"export class {name} extends DeclaredError<{data}> {{}}"
        self._parts.append([*comment(_about(schema)), line])
        return name

    def _written(self, schema: Mapping[str, Any]) -> str:
        return type_of(self._renamed(schema))

    def _members(self, schema: Mapping[str, Any]) -> list[str]:
        return members(self._renamed(schema))

    def _renamed(self, tree: Any) -> Any:
        """The schema, with references that lead to names of this file."""
        if isinstance(tree, list):
            return [self._renamed(part) for part in tree]
        if not isinstance(tree, Mapping):
            return tree
        turned = {key: self._renamed(part) for key, part in tree.items()}
        if isinstance(tree.get("$ref"), str):
            turned["$ref"] = f"/{self._name(str(tree['$ref']).rpartition('/')[2])}"
        return turned

    def _name(self, name: str) -> str:
        if name not in self._names:
            self._names[name] = self._fresh(_identifier(name))
        return self._names[name]

    def _fresh(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def _is_carried(method: Mapping[str, Any]) -> bool:
    says_more = method.get("streams") or method.get("upload") or method.get("one_way")
    return not says_more and method.get("content_type", "application/json") in _CARRIED


def _about(of: Mapping[str, Any], word: str = "description") -> str:
    about = of.get(word)
    return about if isinstance(about, str) else ""


def _identifier(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{plain}" if not plain or plain[0].isdigit() else plain


def _in_one_line(text: object) -> str:
    return " ".join(str(text).split())


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
