"""A service or a method as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from leveret.documents.pages import Member, MethodPage, ServicePage, TypePage

__all__ = ["method_text", "service_text"]

_WIDEST: Final = 40
"""Characters of a column, after which what follows begins where it may."""


def service_text(service: ServicePage) -> Iterator[str]:
    """The lines that tell of a service: its methods, each in short, and who serves it."""
    yield service.name
    yield from _indented(service.about)
    for method in service.methods:
        yield ""
        yield from _indented(method.signature)
        yield from _indented(method.about.partition("\n")[0], "      ")
    yield from _servers(service)


def method_text(service: ServicePage, method: MethodPage) -> Iterator[str]:
    """The lines that tell all of a method."""
    yield method.key
    yield from _indented(method.signature)
    if method.about:
        yield ""
        yield from _indented(method.about)
    if method.parameters:
        yield from ("", "parameters")
        yield from _members(method.parameters)
    yield from ("", "items" if method.streams else "result")
    yield from _columns([(method.result.type, method.result.bounds, method.result.about)])
    for error in method.errors:
        yield from ("", f"raises {error.name} ({error.code})")
        yield from _type(error)
    for kind in service.types:
        if kind.name in method.types:
            yield from ("", f"type {kind.name}")
            yield from _type(kind)
    yield from ("", "options")
    yield from _columns(method.options)
    yield from _servers(service)


def _servers(service: ServicePage) -> Iterator[str]:
    if service.servers is not None:
        count = len(service.servers)
        yield from ("", f"{count} server{'' if count == 1 else 's'} answered")
        yield from _columns([(it.instance, it.name) for it in service.servers])


def _type(kind: TypePage) -> Iterator[str]:
    yield from _indented(kind.about)
    if kind.values:
        yield from _indented(f"one of {', '.join(kind.values)}")
    yield from _members(kind.members)


def _members(members: Iterable[Member]) -> Iterator[str]:
    yield from _columns(
        [
            (
                it.name,
                it.type if it.default is None else f"{it.type} = {it.default}",
                it.bounds,
                it.about,
            )
            for it in members
        ]
    )


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under each other; what is empty in all of them takes no place."""
    count = max(map(len, rows), default=0)
    widths = [min(_WIDEST, max(len(row[at]) for row in rows)) for at in range(count)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width)
        yield f"  {'  '.join(cells)}".rstrip()


def _indented(text: str, by: str = "  ") -> Iterator[str]:
    for line in text.splitlines():
        yield f"{by}{line}".rstrip()
