"""Which broker a test gets.

`broker_url`     a fresh vhost, on RabbitMQ and on the embedded broker: the test runs on each,
                 unless it also asks for something that only RabbitMQ has
`broker`         the same, with what an operator may do there: add users
`rabbitmq`       the one RabbitMQ of this run, started at the first test that asks, shared by all
                 pytest-xdist workers
`rabbitmq_url`   a fresh vhost on it: nothing of another test is there, so tests run side by side
`own_rabbitmq`   a broker that this test alone may stop, kill, restart or block, as new; one
                 pytest-xdist worker has these tests, as it takes 3 s to start
`rabbitmq_cluster`  three nodes that are one broker, all of them up; the test may stop and kill them

`pytest -k embedded` needs no RabbitMQ at all. Each test that runs on one is marked `rabbitmq`; the
tests whose coverage is measured are marked `measured` (tests/measured.py).

Where LEVERET_URL names a broker, its state is not ours to change: then all tests share its default
vhost, one after the other.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Listener
from typing import Final

import pytest
from xdist.workermanage import WorkerController

from leveret.testing import RabbitMQUnavailable
from tests.broken_runs import BrokenRuns
from tests.brokers import KINDS, Broker, Loop, OnEmbedded, OnRabbitMQ
from tests.measured import Measuring, is_measured
from tests.rabbitmq.broker import RabbitMQ
from tests.rabbitmq.cluster import RabbitMQCluster
from tests.scheduling import Scheduling
from tests.vhosts import Vhosts

_DESK = pytest.StashKey["BrokerDesk"]()
_MEASURING: Final = Measuring()


class BrokerDesk:
    """In the process that leads a pytest-xdist run: starts the broker once, tells workers where."""

    def __init__(self) -> None:
        self._key = secrets.token_hex(16)
        self._listener = Listener(authkey=self._key.encode())
        self._broker = RabbitMQ()
        self._thread = threading.Thread(target=self._serve, name="broker desk", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, str]:
        """What `ask` takes in a worker."""
        return str(self._listener.address), self._key

    @staticmethod
    def ask(address: tuple[str, str], question: str = "broker") -> str:
        """The address of the run's broker, for `RabbitMQ.attach`."""
        path, key = address
        with Client(path, authkey=key.encode()) as desk:
            desk.send(question)
            broker, error = desk.recv()
        if error:
            raise RabbitMQUnavailable(error)
        return str(broker)

    def close(self) -> None:
        """Stop the broker, if anybody asked for it."""
        self.ask(self.address, "close")
        self._thread.join()
        self._listener.close()
        self._broker.close()

    def _serve(self) -> None:
        question = "broker"
        while question != "close":
            with self._listener.accept() as worker:
                question = worker.recv()
                try:
                    found = self._broker.start().address if question == "broker" else ""
                    worker.send((found, ""))
                except RabbitMQUnavailable as error:
                    worker.send(("", str(error)))


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C, as do the programs that tests start: a shell's background jobs ignore it."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(BrokenRuns(config))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure_node(node: WorkerController) -> None:
    """Where pytest-xdist leads the run, before each worker starts."""
    desk = node.config.stash.get(_DESK, None) or BrokerDesk()
    node.config.stash[_DESK] = desk
    node.workerinput["broker_desk"] = desk.address


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """Where tests of one group stay together, as in `make test`."""
    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_unconfigure(config: pytest.Config) -> None:
    if (desk := config.stash.get(_DESK, None)) is not None:
        desk.close()


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor, as most tests mostly wait; one where a vhost is shared."""
    return 1 if os.environ.get("LEVERET_URL") else min(2 * (os.cpu_count() or 1), 8)


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> Iterator[RabbitMQ]:
    """The broker of this run, for what a URL cannot do: `ctl`, `evaluate`, `close_connections`."""
    worker_input = getattr(pytestconfig, "workerinput", None)
    if worker_input is None:
        with RabbitMQ() as broker:
            yield broker
    else:
        with RabbitMQ.attach(BrokerDesk.ask(worker_input["broker_desk"])) as broker:
            yield broker


@pytest.fixture(scope="session")
def _vhosts(rabbitmq: RabbitMQ, worker_id: str) -> Vhosts:
    return Vhosts(rabbitmq, worker_id)


@pytest.fixture
def rabbitmq_url(rabbitmq: RabbitMQ, _vhosts: Vhosts) -> Iterator[str]:
    """The URL of an empty vhost that is this test's alone."""
    on = OnRabbitMQ(rabbitmq, _vhosts)
    yield on.url
    on.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on each broker what asks for `broker`, and for nothing that only RabbitMQ has.

    What is marked `embedded_only` asks for a broker, and shows nothing that depends on which.
    """
    asked = metafunc.fixturenames
    of_rabbitmq = metafunc.definition.path.name.startswith("test_rabbitmq_")
    if "broker_kind" in asked and not of_rabbitmq and not {"rabbitmq", "own_rabbitmq"} & set(asked):
        only = metafunc.definition.get_closest_marker("embedded_only")
        metafunc.parametrize("broker_kind", KINDS if only is None else ["embedded"])


@pytest.fixture
def broker_kind() -> str:
    """Where `pytest_generate_tests` did not say otherwise."""
    return "rabbitmq"


@pytest.fixture(scope="session")
def _embedded_brokers() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


@pytest.fixture
def broker(broker_kind: str, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A vhost that is this test's alone. The fixtures of the other broker are not even made."""
    made: OnRabbitMQ | OnEmbedded
    if broker_kind == "embedded":
        made = OnEmbedded(request.getfixturevalue("_embedded_brokers"))
    else:
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        made = OnRabbitMQ(rabbitmq, request.getfixturevalue("_vhosts"))
    yield made
    made.close()


@pytest.fixture
def broker_url(broker: Broker) -> str:
    """The URL of a vhost that is this test's alone."""
    return broker.url


@pytest.fixture(scope="session")
def private_rabbitmq() -> Iterator[RabbitMQ]:
    with RabbitMQ(private=True) as broker:
        yield broker


@pytest.fixture
def own_rabbitmq(private_rabbitmq: RabbitMQ) -> RabbitMQ:
    """A broker of this test's own, to `stop`, `kill`, `restart` or `block_publishers`.

    It is as new: what tests before this one did to it is undone.
    """
    private_rabbitmq.clear()
    return private_rabbitmq


@pytest.fixture(scope="session")
def _cluster() -> Iterator[RabbitMQCluster]:
    with RabbitMQCluster() as cluster:
        yield cluster


@pytest.fixture
def rabbitmq_cluster(_cluster: RabbitMQCluster) -> RabbitMQCluster:
    """Three nodes, whole again after what tests before this one did to them.

    Its vhosts are shared: make one with `add_vhost`.
    """
    return _cluster.start()


def _is_on_rabbitmq(item: pytest.Item) -> bool:
    """Whether a test runs on a RabbitMQ, by the fixtures that it asks for."""
    names = set(getattr(item, "fixturenames", ()))
    if names & {"rabbitmq", "own_rabbitmq", "rabbitmq_cluster"}:
        return True
    if "broker_kind" not in names:
        return False
    variant = getattr(item, "callspec", None)
    return variant is None or variant.params.get("broker_kind", "rabbitmq") == "rabbitmq"


_LONGEST_ID: Final = 200
"""Characters of a parameter that are shown in full in the id of its test."""


def pytest_make_parametrize_id(val: object) -> str | None:
    """Cut what is long: pytest puts a test's id into the environment, which has little room."""
    if isinstance(val, str | bytes) and len(val) > _LONGEST_ID:
        return f"{val[:40]!r} and {len(val) - 40} more"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    if session.config.pluginmanager.has_plugin("dsession"):
        _MEASURING.end()  # this process leads a run of pytest-xdist, whose workers it has started
    # Hardly anything of what is collected is ever garbage. To look for some of it meanwhile takes a
    # third of the time, and to look through it later is in vain.
    gc.disable()
    with _MEASURING.rests():
        collected = yield
    gc.enable()
    gc.collect()
    gc.freeze()
    return collected


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    if item.get_closest_marker("measured") is None:
        _MEASURING.end()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Show what is no Unicode as escapes: a worker of pytest-xdist cannot tell of it, and dies."""
    report.sections = [(title, _unicode(text)) for title, text in report.sections]
    if report.longrepr is not None and _unicode(text := str(report.longrepr)) != text:
        report.longrepr = _unicode(text)


def _unicode(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests on RabbitMQ, and those whose coverage is measured.

    Where coverage.py measures, those come first; then those of one group, and the long ones.

    One cluster is enough, and one broker that tests may stop: one pytest-xdist worker has all tests
    of each. It has to be told before pytest-xdist looks, hence `tryfirst`.
    """
    for item in items:
        if _is_on_rabbitmq(item):
            item.add_marker(pytest.mark.rabbitmq)
        elif is_measured(item):
            item.add_marker(pytest.mark.measured)
        names = getattr(item, "fixturenames", ())
        if "rabbitmq_cluster" in names:
            item.add_marker(pytest.mark.xdist_group("rabbitmq_cluster"))
            # Of which the cluster's start takes 5 to 10 s on two free processors.
            item.add_marker(pytest.mark.timeout(300), append=False)
        if {"own_rabbitmq", "private_rabbitmq"} & set(names):
            item.add_marker(pytest.mark.xdist_group("own_rabbitmq"))
            item.add_marker(pytest.mark.timeout(300), append=False)
    measures = _MEASURING.goes_on

    def turn(item: pytest.Item) -> tuple[bool, bool, bool]:
        # A long one that begins last keeps one worker busy while the others have nothing to do.
        has = item.get_closest_marker
        return (
            measures and has("measured") is None,
            has("xdist_group") is None,
            has("slow") is None,
        )

    items.sort(key=turn)
