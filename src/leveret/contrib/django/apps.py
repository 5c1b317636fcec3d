"""The app `leveret.contrib.django`: it brings the command `runleveret`, and checks the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from leveret.contrib.django.settings import read_settings

__all__ = ["LeveretConfig"]


class LeveretConfig(AppConfig):
    """What Django knows of the app."""

    name = "leveret.contrib.django"
    label = "leveret"
    verbose_name = "Leveret"

    def ready(self) -> None:
        """Have `manage.py check` look at the settings. Nothing connects here: a fork may follow."""
        register(check_settings)


def check_settings(**_: Any) -> Sequence[CheckMessage]:
    """What is wrong with the setting LEVERET."""
    try:
        read_settings()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="leveret.E001")]
    return []
