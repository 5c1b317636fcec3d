"""Which public names have no documentation: each class, function, method, property and field.

What a class says of its parameters documents the attributes of the same names, and what a base
class says of a method documents a method that overrides it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import griffe

from website.places import ROOT

_PARAMETER: Final = re.compile(r":(?:param|ivar|attr)(?: [^:]*)? (\w+):")


def undocumented(names: dict[str, tuple[str, ...]]) -> list[str]:
    """The public names without documentation, in their order.

    :param names: the public names of each public module.
    """
    loader = griffe.GriffeLoader(search_paths=[str(ROOT / "src")])
    for package in sorted({module.partition(".")[0] for module in names}):
        loader.load(package)
    loader.resolve_aliases(external=False)
    found = []
    for module, members in names.items():
        for name in members:
            member = loader.modules_collection[module].members[name]
            if not _is_foreign(member):
                found += list(_missing(f"{module}.{name}", member))
    return found


def _is_foreign(member: griffe.Object | griffe.Alias) -> bool:
    """Whether another project's name is given on."""
    return isinstance(member, griffe.Alias) and not member.resolved


def _missing(path: str, member: griffe.Object | griffe.Alias) -> Iterator[str]:
    thing = member.final_target if isinstance(member, griffe.Alias) else member
    if thing.docstring is None:
        yield path
    if isinstance(thing, griffe.Class):
        for name, inside in thing.members.items():
            if not name.startswith("_") and not inside.is_alias and not _told(thing, name):
                yield from _missing(f"{path}.{name}", inside)


def _told(owner: griffe.Class, name: str) -> bool:
    """Whether a class or one of its bases documents an attribute."""
    for kind in (owner, *owner.mro()):
        said = _PARAMETER.findall(kind.docstring.value) if kind.docstring is not None else []
        inside = kind.members.get(name)
        if name in said or (inside is not None and inside.docstring is not None):
            return True
    return False
