"""Services as Markdown, of the kind that GitHub shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from leveret.documents.pages import Member, MethodPage, ServicePage, TypePage
from leveret.documents.tables import filled

__all__ = ["markdown"]


def markdown(services: Sequence[ServicePage]) -> str:
    """Services with their methods and types, one after the other."""
    return "\n".join(line for service in services for line in _service(service))


def _service(service: ServicePage) -> Iterator[str]:
    yield f"# {_escaped(service.name)}\n"
    yield from _about(service.about)
    if service.servers is not None:
        yield from _table(
            ("served by", "instance"),
            ((_escaped(it.name), _code(it.instance)) for it in service.servers),
        )
    for method in service.methods:
        yield from _method(method)
    if service.types:
        yield "## Types\n"
    for kind in service.types:
        yield f"### {_escaped(kind.name)}\n"
        yield from _type(kind)


def _method(method: MethodPage) -> Iterator[str]:
    yield f"## {_escaped(method.key)}\n"
    ticks = _fence(method.signature)
    yield f"{ticks}python\n{method.signature}\n{ticks}\n"
    yield from _about(method.about)
    if method.parameters:
        yield from _members("parameter", method.parameters)
    result = method.result
    bounds = f" ({_escaped(result.bounds)})" if result.bounds else ""
    about = f": {_escaped(result.about)}" if result.about else ""
    what = "Gives items of" if method.streams else "Returns"
    yield f"{what} {_code(result.type)}{bounds}{about}\n"
    for error in method.errors:
        yield f"Raises {_code(error.name)}, code {_code(error.code)}\n"
        yield from _type(error)
    yield from _table(
        ("option", ""), ((_escaped(name), _escaped(text)) for name, text in method.options)
    )


def _type(kind: TypePage) -> Iterator[str]:
    yield from _about(kind.about)
    if kind.values:
        yield f"One of {', '.join(map(_code, kind.values))}\n"
    if kind.members:
        yield from _members("field", kind.members)


def _members(what: str, members: Iterable[Member]) -> Iterator[str]:
    yield from _table(
        (what, "type", "default", "bounds", ""),
        (
            (
                _code(it.name),
                _code(it.type),
                "" if it.default is None else _code(it.default),
                _escaped(it.bounds),
                _escaped(it.about),
            )
            for it in members
        ),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    names, table = filled(head, rows)
    if names:
        yield "\n".join((_row(names), _row(["---"] * len(names)), *map(_row, table), ""))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _about(text: str) -> Iterator[str]:
    """A docstring, which may be Markdown itself, without what it could be mistaken for."""
    if text:
        shown = re.sub(r"^(\s*)([#>])", r"\1\\\2", text.replace("<", "&lt;"), flags=re.MULTILINE)
        yield f"{shown}\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]#])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Code in a line, whatever is in it."""
    text = " ".join(text.split())
    ticks = "`" * (_longest_ticks(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}" if text else ""


def _fence(text: str) -> str:
    return "`" * max(3, _longest_ticks(text) + 1)


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
