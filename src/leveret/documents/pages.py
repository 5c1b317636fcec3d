"""What a document tells of a service, before it is Markdown, HTML or text."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Member", "MethodPage", "Server", "ServicePage", "TypePage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A parameter of a method, a field of a class, or a result."""

    name: str
    """Its name; "" for a result."""
    type: str
    """Its type, as Python has it."""
    bounds: str = ""
    """What its values are bounded by, in words."""
    default: str | None = None
    """What it is where it is left out, as Python has it; None: it has to be there."""
    about: str = ""
    """What is written of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePage:
    """A class that travels: its fields, or the values that it has."""

    name: str
    """Its name."""
    about: str
    """Its docstring."""
    members: tuple[Member, ...]
    """Its fields, in their order."""
    values: tuple[str, ...] = ()
    """Of an enum: its values, as Python has them."""
    code: str = ""
    """Of an error: its code on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodPage:
    """A method."""

    name: str
    """Its name, without that of its service."""
    key: str
    """Its name with that of its service: "service.method"."""
    signature: str
    """How it would be written in Python; in several lines where one is too long."""
    about: str
    """Its docstring."""
    parameters: tuple[Member, ...]
    """What it takes, in the order of the signature."""
    result: Member
    """What it gives; each item of it where it streams."""
    streams: bool
    """Whether it gives its result item by item."""
    errors: tuple[TypePage, ...]
    """What it declares to raise."""
    options: tuple[tuple[str, str], ...]
    """What else was chosen, by name: times, queue, keys."""
    types: tuple[str, ...]
    """The names of the classes in all that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Somebody who serves it now."""

    instance: str
    """Eight hexadecimal digits."""
    name: str
    """What people call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePage:
    """A service."""

    name: str
    """Its name."""
    about: str
    """Its docstring."""
    methods: tuple[MethodPage, ...]
    """Its methods, in their order."""
    types: tuple[TypePage, ...]
    """The classes in them, by name."""
    servers: tuple[Server, ...] | None = None
    """Who serves it; None where nobody was asked."""
