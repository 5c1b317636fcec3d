"""Checks what `serve` is asked to serve, before it declares anything on the broker."""

from __future__ import annotations

from collections.abc import Mapping

from leveret.contract import Service, ServiceSpec, usable_spec_of
from leveret.errors import ContractError
from leveret.given_numbers import is_whole
from leveret.wire.plain_queue import PlainQueue


def read_services(services: tuple[Service, ...]) -> list[ServiceSpec]:
    """The specifications of the services.

    :raises ContractError: if there are none, one is a class, is generic or has no methods, or two
        share a name.
    """
    if not services:
        raise ContractError("serve() needs at least one service")
    specs: dict[str, ServiceSpec] = {}
    for service in services:
        if isinstance(service, type):
            raise ContractError(
                f"serve() takes instances: write {service.__name__}() with parentheses"
            )
        spec = usable_spec_of(service)
        if spec.name in specs:
            raise ContractError(f"two services are named {spec.name!r}; give one name=...")
        specs[spec.name] = spec
    return list(specs.values())


def check_concurrency(concurrency: object) -> None:
    """:raises ContractError: if it is neither None nor a number that AMQP takes as a prefetch."""
    if concurrency is None or (is_whole(concurrency) and 1 <= concurrency <= 65_535):
        return
    raise ContractError(f"concurrency is {concurrency!r}; it must be 1 to 65535")


def check_plain(plain: Mapping[str, PlainQueue], specs: list[ServiceSpec]) -> None:
    """:raises ContractError: if a queue names a method that does not exist."""
    known = {method.key: method for spec in specs for method in spec.methods.values()}
    for queue, options in plain.items():
        if options.method not in known:
            raise ContractError(
                f"plain={{{queue!r}: {options.method!r}}}: there is no such method; there are"
                f" {', '.join(sorted(known))}"
            )
        method = known[options.method]
        if method.streams or method.upload is not None:
            raise ContractError(
                f"plain={{{queue!r}: {options.method!r}}}: it streams, and the clients of such a"
                " queue take one reply"
            )
