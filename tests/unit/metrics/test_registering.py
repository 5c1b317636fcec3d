"""The counters of this process in a registry."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

import leveret
from leveret import Service, method
from leveret.metrics import register

WORK = {"service": "counted_by_register", "method": "work"}


class CountedByRegister(Service):
    """No other test has a service of this name: a process counts for as long as it lives."""

    @method
    async def work(self) -> int:
        return 1


async def test_what_was_closed_stays_and_nothing_falls() -> None:
    registry = CollectorRegistry()
    register(registry)
    register(registry)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"leveret_{name}", WORK | labels)

    assert value("server_started_total") is None
    for round_ in (1, 2):
        async with leveret.connect("embedded://") as rabbit:
            async with rabbit.serving(CountedByRegister()):
                assert value("server_concurrency") == 100
                await rabbit.remote(CountedByRegister).work()
                assert value("client_in_flight") == 0
            assert value("server_concurrency") == 0
            assert value("server_started_total") == round_
        del rabbit
        assert value("server_handled_total", code="OK") == round_
        assert value("server_handling_seconds_count") == round_
        assert value("client_handled_total", code="OK", executed="yes") == round_
        assert value("client_call_seconds_count") == round_


def test_the_registry_is_that_of_prometheus_client_where_none_is_given() -> None:
    register()
    try:
        assert REGISTRY.get_sample_value("leveret_client_reconnects_total") is not None
    finally:
        from leveret.metrics import registering

        REGISTRY.unregister(registering._COLLECTOR)
        registering._registries.discard(REGISTRY)


def test_without_prometheus_client_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("leveret.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'leveret\[metrics\]'"):
        import leveret.metrics  # noqa: F401


def test_nobody_pays_for_metrics_who_does_not_import_them() -> None:
    program = "import leveret, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
