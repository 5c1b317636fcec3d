"""A remote of a service without its class, made from the description that its servers give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, Unpack

from leveret.client.invocations import discovered_codec
from leveret.client.middleware import CallNext, OutgoingCall
from leveret.client.options import GivenOptions
from leveret.client.remote import Remote, Ways
from leveret.errors import (
    CallError,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    NoServer,
    Unimplemented,
)

__all__ = ["DiscoveredErrors", "DiscoveredService"]

_AGAIN = "if its servers have changed since it was discovered, discover it again"


class DiscoveredErrors:
    """The errors that a discovered service declares, each as an attribute."""

    def __init__(self, service: str, errors: Mapping[str, type[DeclaredError]]) -> None:
        self._service = service
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        """The class of an error, by its name. Any, for type checkers: its fields are attributes."""
        if name.startswith("__"):
            raise AttributeError(name)
        found = self._errors.get(name)
        if found is None:
            there = ", ".join(sorted(self._errors)) or "none"
            raise AttributeError(
                f"{self._service} declares no error {name!r}; it has {there}; {_AGAIN}"
            )
        return found

    def __dir__(self) -> list[str]:
        return sorted(self._errors)

    def __repr__(self) -> str:
        return f"<errors of {self._service}: {', '.join(sorted(self._errors)) or 'none'}>"


async def _explained(call: OutgoingCall, call_next: CallNext) -> Any:
    """Add a hint to errors that a changed contract would explain."""
    try:
        return await call_next(call)
    except (Unimplemented, NoServer, InvalidArgument, InvalidResult) as error:
        if _may_be_the_contracts(error):
            error.message = f"{error.message}; {_AGAIN}"
        raise


def _may_be_the_contracts(error: CallError) -> bool:
    if isinstance(error, InvalidArgument):
        return error.attempts > 0  # its server found it, with a contract of its own
    if isinstance(error, InvalidResult):
        return error.__cause__ is not None  # the client found it
    return True


class DiscoveredService(Remote):
    """A service without its class, made by `rabbit.discover("name")`.

    Its methods are called like those of a remote, `await science.fib(30)`. Arguments are checked
    before they are sent, against their JSON Schema. Objects are dicts in both directions. Bytes,
    dates, times, UUIDs and decimals have their Python types, inside dicts and lists as well.
    """

    _ways = Ways(make_codec=discovered_codec, middleware=(_explained,))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            if name.startswith("__"):
                raise
            raise AttributeError(f"{error}; {_AGAIN}") from None

    @property
    def errors(self) -> DiscoveredErrors:
        """The errors that its methods declare: `except science.errors.OutOfStock as error`."""
        spec = self._leveret[1]
        return DiscoveredErrors(
            spec.name,
            {
                error.__name__: error
                for method in spec.methods.values()
                for error in method.raises.values()
            },
        )

    def with_options(self, **options: Unpack[GivenOptions]) -> Self:
        """The same service with other options for its calls; `Service.with_options` lists them."""
        return super().with_options(**options)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), "errors"})

    def __repr__(self) -> str:
        spec = self._leveret[1]
        return f"<discovered service {spec.name}: {', '.join(sorted(spec.methods))}>"
