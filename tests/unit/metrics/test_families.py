"""A snapshot as metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from leveret.metrics.families import CLIENT_CODES, SERVER_CODES, families
from leveret.metrics.registering import SnapshotCollector
from leveret.observe import OK, OTHER, ClientCounters, Exemplar, ServerCounters, Snapshot
from leveret.version import __version__

DESK = {"service": "desk", "method": "work"}


def samples(snapshot: Snapshot) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot))
    return registry


def test_a_method_has_all_its_series_before_its_first_call() -> None:
    snapshot = Snapshot()
    snapshot.served_of("desk.work")
    snapshot.called_of("desk.work")
    registry = samples(snapshot)
    for code in SERVER_CODES:
        assert registry.get_sample_value("leveret_server_handled_total", DESK | {"code": code}) == 0
    for code, executed in CLIENT_CODES:
        labels = DESK | {"code": code, "executed": executed}
        assert registry.get_sample_value("leveret_client_handled_total", labels) == 0
    for name in ("server_queue_seconds", "server_handling_seconds", "client_call_seconds"):
        labels = DESK | {"le": "0.001"}
        assert registry.get_sample_value(f"leveret_{name}_bucket", labels) == 0
        assert registry.get_sample_value(f"leveret_{name}_count", DESK) == 0
    for direction in ("sent", "received"):
        labels = DESK | {"direction": direction}
        assert registry.get_sample_value("leveret_server_items_total", labels) == 0


def test_connections_count_before_anything_is_called() -> None:
    registry = samples(Snapshot(reconnects=2, late_replies=3))
    assert registry.get_sample_value("leveret_client_reconnects_total") == 2
    assert registry.get_sample_value("leveret_client_late_replies_total") == 3
    assert registry.get_sample_value("leveret_build_info", {"version": __version__}) == 1


def test_codes_and_times_are_those_that_were_counted() -> None:
    server, client = ServerCounters(started=2), ClientCounters(started=2, retries=1)
    server.ended(OK, "", 1.0, 0.002, 0.02, 10, 20)
    server.ended("sold_out", "", 1.0, 0.002, 9_000.0, 10, 20)
    client.answered(0.02)
    snapshot = Snapshot()
    snapshot.served_of("desk.work").count(server)
    snapshot.called_of("desk.work").count(client)
    registry = samples(snapshot)
    value = registry.get_sample_value
    assert value("leveret_server_handled_total", DESK | {"code": "sold_out"}) == 1
    assert value("leveret_client_handled_total", DESK | {"code": OK, "executed": "yes"}) == 1
    assert value("leveret_client_retries_total", DESK) == 1
    name = "leveret_server_handling_seconds"
    assert value(f"{name}_bucket", DESK | {"le": "0.01"}) == 0
    assert value(f"{name}_bucket", DESK | {"le": "0.025"}) == 1
    assert value(f"{name}_bucket", DESK | {"le": "7200.0"}) == 1
    assert value(f"{name}_bucket", DESK | {"le": "+Inf"}) == 2
    assert value(f"{name}_count", DESK) == 2
    assert value(f"{name}_sum", DESK) == 9_000.02


def test_what_methods_that_are_not_told_apart_count_has_a_label_of_its_own() -> None:
    snapshot = Snapshot()
    snapshot.served_of(OTHER).started += 1
    labels = {"service": OTHER, "method": OTHER}
    assert samples(snapshot).get_sample_value("leveret_server_started_total", labels) == 1


def test_each_name_has_its_unit_and_says_what_it_is() -> None:
    def check(family: Metric) -> None:
        assert family.name.startswith("leveret_")
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram", "info"}
        if family.type == "histogram":
            assert family.name.endswith("_seconds")

    for family in families(Snapshot()):
        check(family)


def test_both_formats_can_be_written_and_names_need_no_escapes() -> None:
    snapshot = Snapshot()
    snapshot.served_of('odd"service\n.work').started += 1
    registry = samples(snapshot)
    found = text_string_to_metric_families(generate_latest(registry).decode())
    services = {sample.labels.get("service") for family in found for sample in family.samples}
    assert 'odd"service\n' in services
    assert generate_openmetrics(registry).endswith(b"# EOF\n")  # type: ignore[no-untyped-call]


def test_exemplars_lead_to_traces_in_openmetrics_alone() -> None:
    snapshot = Snapshot()
    histogram = snapshot.served_of("desk.work").handler
    histogram.record(0.02)
    histogram.exemplify(Exemplar(seconds=0.02, trace_id="ab" * 16, span_id="cd" * 8, at=7.0))
    registry = samples(snapshot)
    text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    (line,) = [line for line in text.splitlines() if "trace_id" in line]
    assert line.startswith('leveret_server_handling_seconds_bucket{le="0.025"')
    assert f'trace_id="{"ab" * 16}"' in line
    assert f'span_id="{"cd" * 8}"' in line
    assert line.endswith("} 0.02 7.0")
    assert b"trace_id" not in generate_latest(registry)
