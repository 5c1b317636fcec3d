"""The app with its lifespan, as an ASGI server runs it, on the embedded broker."""

from collections.abc import Iterator

import pytest
from countdown_app import make_app
from starlette.testclient import TestClient

import leveret
from leveret.testing import Broker


@pytest.fixture
def http(leveret_broker: Broker) -> Iterator[TestClient]:
    with TestClient(make_app(leveret.connect(leveret_broker.url))) as client:
        yield client


def test_it_is_ready(http: TestClient) -> None:
    assert http.get("/health/readyz").json() == {"status": "ready", "why": []}


def test_a_countdown_is_streamed(http: TestClient) -> None:
    answer = http.get("/countdown/3?pause=0")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "data: 3\n\ndata: 2\n\ndata: 1\n\n"
    assert http.get("/last").text == "3"


def test_an_error_of_a_stream_is_an_event(http: TestClient) -> None:
    answer = http.get("/countdown/101")
    assert answer.text.startswith("event: problem\n")
    assert "Expected `int` <= 100" in answer.text


def test_what_a_handler_raises_is_no_news_for_strangers(http: TestClient) -> None:
    answer = http.get("/last")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "Something went wrong in the service."


def test_prometheus_sees_what_is_called_and_served(http: TestClient) -> None:
    http.get("/last")
    text = http.get("/metrics/").text
    assert 'leveret_server_handled_total{code="INTERNAL",method="last",service="countdown"}' in text
