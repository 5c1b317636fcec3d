"""`manage.py runleveret`: serves services that use the models of a Django project."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from importlib.util import find_spec
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leveret.cli.arguments import BadArgument
from leveret.cli.endpoints import Endpoint, endpoint_of
from leveret.cli.serving.monitoring import MonitorOptions
from leveret.cli.serving.process import ServerProcess
from leveret.cli.serving.request import ServeRequest
from leveret.cli.serving.systemd import SystemManager
from leveret.contrib.django.settings import read_settings

__all__ = ["Command"]


class Command(BaseCommand):
    """As `leveret serve`, in one process, with the project's settings, models and log."""

    help = (
        "Serves services until SIGINT or SIGTERM; then lets running calls end. Start it more than"
        " once for more processes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Those of `leveret serve` that a process of its own needs."""
        parser.add_argument(
            "targets",
            nargs="*",
            metavar="module:Service",
            help="What to serve; by default what SERVICES of the setting LEVERET names.",
        )
        parser.add_argument(
            "--concurrency",
            type=int,
            help="Calls of each method at a time, instead of what it says itself.",
        )
        parser.add_argument(
            "--grace",
            type=float,
            default=30.0,
            help="Seconds that running calls get to end at SIGINT or SIGTERM.",
        )
        parser.add_argument(
            "--wait-for-broker",
            type=float,
            default=0.0,
            help="Seconds to go on trying at the start while no broker can be reached.",
        )
        parser.add_argument(
            "--health",
            type=_endpoint,
            metavar="[HOST]:PORT",
            help="/livez and /readyz there: whether it lives, and whether it serves.",
        )
        parser.add_argument(
            "--metrics",
            type=_endpoint,
            metavar="[HOST]:PORT",
            help="Metrics for Prometheus at /metrics there (the extra `metrics`).",
        )

    def handle(self, *_: Any, **given: Any) -> None:
        """Serve until a signal; the exit code is that of `leveret serve`."""
        settings = read_settings()
        targets = given["targets"] or settings.services
        if not targets:
            raise CommandError(
                "nothing to serve: name services, as in `runleveret market.services:Prices`, or"
                " have SERVICES in the setting LEVERET"
            )
        if given["metrics"] is not None and not find_spec("prometheus_client"):
            raise CommandError("--metrics needs prometheus_client: pip install 'leveret[metrics]'")
        request = ServeRequest(
            targets=tuple(targets),
            url=settings.url,
            concurrency=given["concurrency"],
            grace=given["grace"],
            wait_for_broker=given["wait_for_broker"],
        )
        served = f"serving {', '.join(targets)}"
        ending = ServerProcess(
            request,
            lambda: self.stdout.write(served),
            monitor=MonitorOptions(health=given["health"], metrics=given["metrics"]),
            manager=SystemManager(),
        ).run()
        if ending.error:
            self.stderr.write(self.style.ERROR(ending.error))
        sys.exit(ending.code)


def _endpoint(word: str) -> Endpoint:
    try:
        return endpoint_of(word)
    except BadArgument as error:
        raise ArgumentTypeError(str(error)) from None
