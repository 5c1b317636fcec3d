"""Reads the setting LEVERET."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Struct, ValidationError, convert

from leveret.blocking import connect

__all__ = ["Settings", "read_settings"]

_OPTIONS: Final = frozenset(inspect.signature(connect).parameters) - {"url"}
"""What OPTIONS may hold."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="upper"):
    """The setting LEVERET, a dict. Without it all of this is as by default."""

    url: str | None = None
    """The broker; None for the environment's LEVERET_URL, else RabbitMQ on this machine."""
    options: dict[str, Any] = {}
    """Further options of `leveret.blocking.connect`."""
    services: list[str] = []
    """What `manage.py runleveret` serves, each as "module:Service"."""


def read_settings() -> Settings:
    """The setting as it is now.

    :raises ImproperlyConfigured: if it has keys or options that do not exist, or wrong types.
    """
    given: Mapping[str, object] = getattr(settings, "LEVERET", {})
    try:
        found = convert(given, Settings)
    except ValidationError as error:
        raise ImproperlyConfigured(f"the setting LEVERET: {error}") from None
    unknown = sorted(found.options.keys() - _OPTIONS)
    if unknown:
        raise ImproperlyConfigured(
            f"the setting LEVERET: OPTIONS has {', '.join(unknown)}; leveret.blocking.connect()"
            f" takes {', '.join(sorted(_OPTIONS))}"
        )
    return found
