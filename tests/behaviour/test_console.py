"""The console over a broker: each page, calls and streams by it, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from leveret import CallError, DeclaredError, InvalidURL, Rabbit, Service, current_call, method
from leveret.console import app, failed_page
from leveret.contract import service_schema
from leveret.rabbit.connecting import connect
from tests.behaviour.patience import until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate

BIG: Final = 12345678901234567890123
INTERVAL: Final = 0.05
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACES: Final = "https://traces/?id={trace_id}"


class SoldOut(DeclaredError):
    """There is nothing left."""

    sku: str


class Shop(Service, version="1.4.2", metadata={"team": "stock"}):
    """A shop & more."""

    @method(raises=[SoldOut])
    async def order(self, sku: str, count: int = 1) -> dict[str, int]:
        current_call().reply_metadata["shard"] = "eu"
        if sku == "none":
            raise SoldOut(sku)
        return {"count": count}

    @method(timeout=500)
    async def patience(self) -> float:
        return current_call().remaining()

    @method(timeout=500)
    async def patiently(self) -> AsyncIterator[float]:
        yield current_call().remaining()

    @method
    async def watch(self, first: int) -> AsyncIterator[int]:
        yield first
        yield first + 1

    @method
    async def weigh(self, unit: str, parcels: AsyncIterator[int]) -> str:
        return f"{sum([parcel async for parcel in parcels])} {unit}"

    @method
    async def double(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @method(one_way=True, keep_failed=True)
    async def audit(self, text: str) -> None:
        raise OSError(f"the disk is full: {text}")


class Till(Service):
    def __init__(self) -> None:
        self.sum = 0

    @method
    async def add(self, amount: int) -> int:
        current_call().reply_metadata.update(current_call().metadata)
        self.sum += amount
        return self.sum

    @method
    async def watch(self) -> AsyncIterator[int]:
        yield self.sum


class OtherShop(Service, name="shop"):
    @method
    async def order(self, sku: str) -> str:
        return sku


def one_of_forty(number: int) -> type[Service]:
    """A service of five methods; one of all is slow, and another one fails."""

    def made(way: int) -> Any:
        async def run(self: Service, seconds: float = 0.0) -> None:
            if (number, way) == (17, 3):
                await asyncio.sleep(abs(seconds))
                if seconds < 0:
                    raise TimeoutError("the rates did not come")
            if (number, way) == (29, 1):
                raise LookupError("no such shelf")

        run.__name__ = f"m{way}"
        return method(run)

    methods = {f"m{way}": made(way) for way in range(5)}
    return type(f"Part{number}", (Service,), methods, name=f"part_{number}")


@asynccontextmanager
async def visiting(rabbit: Rabbit | str, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    console = app(rabbit, interval=INTERVAL, **options)
    transport = httpx.ASGITransport(console)
    async with (
        console.router.lifespan_context(console),
        httpx.AsyncClient(
            transport=transport,
            base_url="http://console",
            headers={"origin": "http://console", "accept": "text/html"},
        ) as visitor,
    ):
        yield visitor


async def shows(visitor: httpx.AsyncClient, path: str, *wanted: str) -> str:
    """Look at a page until it shows this; servers may answer late."""
    page = ""

    async def missing() -> list[str]:
        nonlocal page
        page = (await visitor.get(path)).text
        return [text for text in wanted if text not in page]

    await until_found(missing, [], f"{path} shows {wanted}")
    return page


async def asked(visitor: httpx.AsyncClient, path: str, **call: Any) -> dict[str, Any]:
    answer = await visitor.post(path, json=call)
    found: dict[str, Any] = answer.json()
    return found


async def test_each_page_shows_what_is_there(
    client: Rabbit, host: Rabbit, rabbitmq_url: str
) -> None:
    async with host.serving(Shop()) as serving, visiting(client, allow_calls=True) as visitor:
        for sku in ("a", "b", "none"):
            await asked(visitor, "/call/shop.order", arguments=f'{{"sku": "{sku}"}}')
        await shows(visitor, "/failures", "SOLD_OUT")
        await shows(visitor, "/", "Fail most", "Slowest", "SOLD_OUT: There is nothing left.")
        # A caller that serves something leads to that, another one to the map.
        async with (
            connect(rabbitmq_url, name="night batch") as batch,
            connect(rabbitmq_url, name="gate keeper") as keeper,
            keeper.serving(Gate()),
        ):
            await batch.remote(Shop).order("a")
            await keeper.remote(Shop).order("a")
            await shows(
                visitor,
                "/method/shop.order",
                '<a href="/map?around=night%20batch">night batch</a>',
                '<a href="/service/gate">gate keeper</a>',
            )
        for path, shown in {
            "/": "called by",
            "/?q=nothing": "No service matches",
            "/methods?sort=-p95": "order",
            "/service/shop": "A shop &amp; more.",
            "/method/shop.order": 'data-name="count"',
            "/method/shop.order?arguments=%7B%22sku%22%3A%22x%22%2C%22count%22%3A5%7D": 'value="5"',
            "/method/shop.order?arguments=nonsense": "no JSON",
            f"/instance/{serving.instance}": "shop.watch",
            "/calls": "No call runs",
            "/failures?code=SOLD_OUT": "shop.order",
            "/failures?code=NOTHING": "None.",
            "/queues": "leveret.shop.order",
            "/map": "shop",
            "/map?around=shop": "If shop fails",
            "/failed/shop.order": "nothing keeps failed requests",
            "/calls?sort=server": 'aria-sort="ascending"',
            "/failures?sort=-failed": 'aria-sort="descending"',
            "/failures?sort=at&code=SOLD_OUT": 'aria-sort="ascending"',
            "/queues?sort=-unacked": 'aria-sort="descending"',
            "/map?sort=-failed": 'aria-sort="descending"',
            f"/instance/{serving.instance}?sort=-p95": 'aria-sort="descending"',
        }.items():
            await shows(visitor, path, shown)
            assert (await visitor.get(path)).status_code == 200, path
        await shows(visitor, "/service/shop", "team: stock")
        for path in ("/service/no", "/method/no.no", "/instance/no", "/no"):
            assert (await visitor.get(path)).status_code == 404, path
        for wanted, there in {
            "shop": "/service/shop",
            "shop.order": "/method/shop.order",
            serving.instance: f"/instance/{serving.instance}",
            "ord": "/methods?q=ord",
            "call-id": "/methods?q=call-id",
        }.items():
            found = await visitor.get("/search", params={"q": wanted})
            assert found.headers["location"] == there


@pytest.mark.embedded_only
async def test_the_slow_one_of_200_methods_its_callers_and_its_last_error_are_two_pages_away(
    client: Rabbit, rabbitmq_url: str
) -> None:
    async with (
        connect(rabbitmq_url, name="forty") as forty,
        connect(rabbitmq_url, name="night batch") as batch,
        forty.serving(*(one_of_forty(number)() for number in range(40))),
        visiting(client) as visitor,
    ):
        await shows(visitor, "/", "<b>200</b><span>methods</span>")
        quick = [f"part_{number}.m{way}" for number in range(40) for way in range(5)]
        quick.remove("part_17.m3")
        clock = asyncio.get_running_loop().time
        longest = 0.1
        for key in quick:
            began = clock()
            with contextlib.suppress(CallError):
                await forty.call(key)
            longest = max(longest, clock() - began)
        for seconds in (5 * longest, -5 * longest):  # slow, however busy the machine is
            with contextlib.suppress(CallError):
                await batch.with_options(timeout=100).call("part_17.m3", seconds=seconds)

        # The overview names both first, and who calls them; the page of each has the rest.
        async def first(title: str) -> str:
            page = (await visitor.get("/")).text
            card = page.partition(f"<h2>{title} ")[2].partition("</li>")[0]
            return card.partition("/method/")[2].partition('"')[0]

        await until_found(partial(first, "Slowest"), "part_17.m3", "the slow one is named first")
        await until_found(partial(first, "Fail most"), "part_29.m1", "so is the one that fails")
        await shows(visitor, "/", "called by night batch", "INTERNAL: LookupError: no such shelf")
        error = "TimeoutError: the rates did not come"
        page = await shows(visitor, "/method/part_17.m3", ">night batch</a>", error)
        callers = page.partition("<h2>Callers ")[2].partition("</table>")[0]
        assert callers.count("<tr><td>") == 1


async def test_calls_by_the_console_are_exact_both_ways(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Shop()), visiting(client, allow_calls=True) as visitor:
        answer = await asked(
            visitor,
            "/call/shop.order",
            arguments=f'{{"sku": "a", "count": {BIG}}}',
            timeout=30,
            metadata={"tenant": "7"},
        )
        assert msgspec.json.decode(answer["text"]) == {"count": BIG}
        assert answer["metadata"] == {"shard": "eu"}
        refused = await asked(visitor, "/call/shop.order", arguments='{"sku": "none"}')
        assert (refused["code"], refused["executed"]) == ("SOLD_OUT", "yes")
        assert msgspec.json.decode(refused["text"]) == {"sku": "none"}
        wrong = await asked(visitor, "/call/shop.order", arguments="[]")
        assert wrong["code"] == "INVALID_ARGUMENT"
        assert (await asked(visitor, "/call/shop.order", timeout="soon"))["ok"] is False
        stream = await visitor.post("/stream/shop.watch", json={"arguments": f'{{"first": {BIG}}}'})
        assert f"event: item\ndata: {BIG}\n\n" in stream.text
        assert f"event: item\ndata: {BIG + 1}\n\n" in stream.text
        assert '"ok":true' in stream.text
        # Without seconds of its own a call has those of its method.
        answer = await asked(visitor, "/call/shop.patience")
        assert float(answer["text"]) > 100
        stream = await visitor.post("/stream/shop.patiently", json={})
        assert float(stream.text.partition("data: ")[2].partition("\n")[0]) > 100


async def test_a_chosen_server_runs_the_call_and_no_other_one(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, other = Till(), Till()
    async with (
        host.serving(one),
        other_host.serving(other) as server,
        visiting(client, allow_calls=True) as visitor,
    ):
        chosen = f'<option value="{server.instance}" selected>{server.instance} '
        await shows(visitor, f"/method/till.add?instance={server.instance}", chosen)
        for _ in range(3):
            answer = await asked(
                visitor,
                "/call/till.add",
                arguments=f'{{"amount": {BIG}}}',
                instance=server.instance,
                metadata={"tenant": "7"},
            )
            assert (answer["ok"], answer["metadata"]) == (True, {"tenant": "7"})
        assert msgspec.json.decode(answer["text"]) == 3 * BIG == other.sum
        assert one.sum == 0
        refused = await asked(
            visitor, "/call/till.add", arguments='{"amount": 1}', instance="b47af560"
        )
        assert (refused["ok"], refused["executed"]) == (False, "no")
        wrong = await asked(visitor, "/call/till.add", arguments='{"amount": 1}', instance="any")
        assert wrong["code"] == "INVALID_ARGUMENT"
        await shows(visitor, "/method/till.add?instance=b47af560", ">b47af560 gone<")
        page = await shows(visitor, "/method/till.watch?instance=b47af560", "Deadline")
        assert 'id="instance"' not in page


async def test_uploads_are_items_as_they_were_typed(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Shop()), visiting(client, allow_calls=True) as visitor:
        upload = {"arguments": '{"unit": "g"}', "upload": "parcels", "items": [str(BIG), "1"]}
        answer = await asked(visitor, "/call/shop.weigh", **upload)
        assert msgspec.json.decode(answer["text"]) == f"{BIG + 1} g"
        wrong = await asked(visitor, "/call/shop.weigh", **upload | {"items": ["1", "{"]})
        assert (wrong["ok"], "item 2 is no JSON" in wrong["message"]) == (False, True)
        talk = await visitor.post("/stream/shop.double", json={"upload": "numbers", "items": ["4"]})
        assert "event: item\ndata: 8\n\n" in talk.text
        assert '"ok":true' in talk.text


async def test_a_server_drains_as_it_is_told(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Shop()) as server, visiting(client, allow_calls=True) as visitor:
        await shows(visitor, f"/instance/{server.instance}", f'data-drain="{server.instance}"')
        nobody = await visitor.post("/instance/12345678/drain", json=[])
        assert (nobody.json(), server.unready) == ({"draining": False}, "")
        told = await visitor.post(f"/instance/{server.instance}/drain", json=[])
        assert told.json() == {"draining": True}
        assert server.unready == "draining"
        await server.close()
        refused = await asked(visitor, "/call/shop.order", arguments='{"sku": "a"}')
        assert refused["code"] == "UNAVAILABLE"


async def test_a_contract_is_compared_with_a_pasted_one(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Shop()), visiting(client) as visitor:
        path = "/service/shop/compare"
        await shows(visitor, path, "Compare the contract")
        other = msgspec.json.encode(service_schema(OtherShop)).decode()

        async def compared(contract: str, pasted: str = "new") -> str:
            return (await visitor.post(path, data={"contract": contract, "pasted": pasted})).text

        assert "method-removed" in await compared(other)
        page = await compared(other, "old")
        assert "method-added" in page
        assert "method-removed" not in page
        same = msgspec.json.encode({"services": {"shop": service_schema(Shop)}}).decode()
        assert "No difference" in await compared(same)
        assert "it cannot be read" in await compared("{")
        assert "it is not a contract" in await compared("[]")
        assert "it has no service shop, but none" in await compared('{"services": {}}')
        assert (await visitor.get("/service/no/compare")).status_code == 404


async def test_what_runs_is_shown_and_cancelled(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with (
        host.serving(gate),
        visiting(client, allow_calls=True, trace_link=TRACES) as visitor,
    ):
        traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        calling = asyncio.create_task(
            asked(visitor, "/call/gate.once", arguments='{"n": 1}', metadata=traced)
        )
        assert await gate.started.get() == 1

        page = await shows(visitor, "/calls", 'data-stop="', f'href="https://traces/?id={TRACE}"')
        await shows(visitor, "/queues?q=gate.once", 'unacknowledged">1</td>')
        call_id = page.partition('data-stop="')[2].partition('"')[0]

        async def leads_to() -> str:
            found = await visitor.get("/search", params={"q": call_id})
            return found.headers["location"]

        await until_found(leads_to, f"/calls?q={call_id}", "a pasted id leads to its call")
        stopped = await visitor.post("/calls/stop", json=[call_id])
        assert stopped.status_code == 200
        assert (await calling)["code"] == "CANCELLED"
        for path in ("/method/gate.once", "/failures"):
            await shows(visitor, path, f'href="https://traces/?id={TRACE}"')


@pytest.mark.embedded_only
@pytest.mark.parametrize("link", ["https://traces/", "javascript:alert({trace_id})"])
async def test_a_link_to_traces_that_is_none_is_refused(client: Rabbit, link: str) -> None:
    with pytest.raises(InvalidURL, match="trace_id"):
        app(client, trace_link=link)


async def test_failed_requests_are_shown_without_their_arguments(
    client: Rabbit, host: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.serving(Shop()):
        for text in ("one", "two"):
            sender = client.with_options(metadata={"traceparent": f"00-{TRACE}-{'1' * 16}-01"})
            await sender.send(sender.remote(Shop).audit)(text)
        async with visiting(client, allow_calls=True) as visitor:

            async def failed() -> int:
                return (await visitor.get("/failed/shop.audit")).text.count('<tr data-row="')

            await until_found(failed, 2, "both requests have failed")
            with monkeypatch.context() as most:
                most.setattr(failed_page, "_MOST_FAILED", 1)
                await shows(visitor, "/failed/shop.audit", "The oldest 1 of 2.")
            await until_found(failed, 2, "the one that was looked at is back")
            page = await shows(visitor, "/failed/shop.audit", '<tr data-row="', "redacted")
            first = page.partition('<tr data-row="')[2].partition('"')[0]

            async def dropped() -> int:
                # Those that another look had are back in their queue a moment after its end.
                done: int = (await visitor.post("/failed/shop.audit/drop", json=[first])).json()[
                    "done"
                ]
                return done

            await until_found(dropped, 1, "one is dropped")
            await until_found(failed, 1, "one is left")
            assert (await visitor.post("/failed/shop.audit/eat", json=[])).status_code == 400
            assert (await visitor.post("/failed/shop.audit/drop", json={})).status_code == 400
        async with visiting(client, show_arguments=True) as visitor:
            await shows(visitor, "/failed/shop.audit", "&#34;text&#34;", f"trace <code>{TRACE}")


async def test_what_did_not_answer_is_told_of_and_not_taken_for_gone(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    async with other_host.serving(Gate()), visiting(client) as visitor:
        async with host.serving(Shop()):
            await shows(visitor, "/", "/service/shop")
            # Consumes the queues as a server does, and listens to no questions.
            for name in service_schema(Shop)["methods"]:
                await raw.take(f"leveret.shop.{name}")
            await shows(visitor, "/", "<b>Not complete:</b> 1 of 2 servers", "1 did not answer")
            await shows(visitor, "/methods", "<b>Not complete:</b> servers did not answer, 1 of")
            await shows(visitor, "/calls", "Their calls are not here.")
        await shows(visitor, "/", "<b>No answer</b> of", "of which the broker counts 1 server.")
        await shows(visitor, "/service/shop", "0 of 1 servers answered")
        await shows(visitor, "/map", "no answer")
        await raw.close()
        await shows(visitor, "/", "<b>No server</b> of")


async def test_contracts_that_differ_are_told_of(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    async with host.serving(Shop()), other_host.serving(OtherShop()), visiting(client) as visitor:
        await shows(visitor, "/", "Contracts differ")
        await shows(visitor, "/service/shop", "have another one than most", "audit: only in")


async def test_without_leave_it_only_looks(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Shop()), visiting(client) as visitor:
        chosen = await visitor.post("/call/shop.order", json={"instance": "b47af560"})
        assert chosen.status_code == 403
        for path in (
            "/call/shop.order",
            "/stream/shop.watch",
            "/calls/stop",
            "/failed/a.b/drop",
            "/instance/x/drain",
        ):
            refused = await visitor.post(path, json={})
            assert refused.status_code == 403, path
            assert "--allow-calls" in refused.text
        page = await shows(visitor, "/method/shop.order", 'id="copy-cli"')
        assert 'id="send"' not in page
        assert "read-only" in page


async def test_a_token_lets_in(client: Rabbit) -> None:
    async with visiting(client, token="open sesame") as visitor:
        led = await visitor.get("/methods?q=a")
        assert led.headers["location"] == "/login?next=%2Fmethods%3Fq%3Da"
        assert "Log in" in (await visitor.get(led.headers["location"])).text
        wrong = await visitor.post("/login", data={"token": "open", "next": "/methods?q=a"})
        assert 'name="next" value="/methods?q=a"' in wrong.text
        long = await visitor.post("/login", data={"token": "a" * 5_000})
        assert (long.status_code, "4,096" in long.text) == (400, True)
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
        right = await visitor.post("/login", data={"token": "open sesame", "next": "/methods?q=a"})
        assert (right.status_code, right.headers["location"]) == (303, "/methods?q=a")
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await visitor.get("/methods")).status_code == 200
        for there in ("//evil.example", "/\\evil.example", "https://evil.example"):
            led = await visitor.post("/login", data={"token": "open sesame", "next": there})
            assert led.headers["location"] == "/"
        out = await visitor.post("/logout")
        assert out.headers["location"] == "/login"
        assert (await visitor.get("/methods")).status_code == 303


async def test_it_is_mounted_into_another_app(client: Rabbit, host: Rabbit) -> None:
    console = app(client, interval=INTERVAL)
    outer = Starlette(routes=[Mount("/ops/rpc", console)])
    async with (
        host.serving(Shop()),
        console.router.lifespan_context(console),
        httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://host") as visitor,
    ):
        await shows(visitor, "/ops/rpc/", 'href="/ops/rpc/service/shop"')
        assert (await visitor.get("/ops/rpc/service/shop")).status_code == 200
        assert (await visitor.get("/ops/rpc/static/console.css")).status_code == 200
        nowhere = await visitor.get("/ops/rpc/static/nothing.css")
        assert nowhere.status_code == 404
        assert 'data-base="/ops/rpc"' in nowhere.text


async def test_a_broker_that_is_away_is_shown_as_that_and_what_was_known_stays(
    rabbitmq_url: str, host: Rabbit
) -> None:
    rabbit = connect(rabbitmq_url)
    async with rabbit, host.serving(Shop()), visiting(rabbit) as visitor:
        await shows(visitor, "/", "/service/shop")
        await rabbit.close()
        await shows(visitor, "/", "The broker is away", "/service/shop")
        for path in ("/service/shop", "/method/shop.order", "/calls", "/queues", "/failed/shop.a"):
            assert (await visitor.get(path)).status_code == 200, path
        await rabbit

        async def is_away() -> bool:
            return "The broker is away" in (await visitor.get("/")).text

        await until_found(is_away, False, "the banner goes")


async def test_with_a_url_it_connects_and_closes_by_itself(rabbitmq_url: str, host: Rabbit) -> None:
    async with host.serving(Shop()), visiting(rabbitmq_url, allow_calls=True) as visitor:
        answer = await asked(visitor, "/call/shop.order", arguments='{"sku": "a"}')
        assert answer["ok"]
        await shows(visitor, "/method/shop.order", "leveret-console")
