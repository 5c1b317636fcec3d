"""The console in a real Chromium: what a person sees, types and clicks.

Whatever a scene is about, no page may log an error, ask anybody else for anything, or go without
its policy; `Visit` holds that for all of them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import re
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Literal

import msgspec
import pytest
import uvicorn
from playwright.async_api import Browser, Dialog, Page, Request, Response, Route, expect

import leveret
from leveret import Rabbit, Reconnect, Service, method
from leveret.console import app
from leveret.testing import FaultProxy
from tests.behaviour.patience import PATIENCE, until, until_found
from tests.chromium import browser

pytestmark = [
    pytest.mark.embedded_only,
    pytest.mark.slow,
    pytest.mark.xdist_group("chromium"),
]

BIG: Final = 12345678901234567890123
OUT_OF_SIGHT: Final = """
[...document.querySelectorAll("main td:not(.empty)")].filter((cell) => {
  const box = cell.getBoundingClientRect();
  const isNamed = cell.dataset.of || cell === cell.parentElement.firstElementChild
    || cell.querySelector("button") || cell.closest("table.small");
  return !isNamed || !box.width || box.left < 0 || box.right > innerWidth
    || cell.scrollWidth > cell.clientWidth + 1;
}).map((cell) => cell.outerHTML)
"""
"""What of tables one cannot see, or not tell what it is of."""
expect.set_options(timeout=PATIENCE * 1000)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Address(msgspec.Struct):
    """Where somebody lives."""

    street: str
    zip: str | None = None


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str
    home: Address


class Kinds(Service):
    """Takes a value of each kind of type."""

    def __init__(self) -> None:
        self.got: dict[str, Any] = {}
        self.sent = 0
        self.ended = False
        self.is_held = False
        self.calls = 0

    @method
    async def every(
        self,
        big: int,
        ratio: float,
        text: str,
        flag: bool,
        raw: bytes,
        price: decimal.Decimal,
        day: dt.date,
        at: dt.datetime,
        span: dt.timedelta,
        ident: uuid.UUID,
        colour: Colour,
        one: Literal["a"],
        pet: Cat | Dog,
        either: int | str,
        tags: list[str],
        pair: tuple[int, str],
        table: dict[str, int],
        anything: Any,
        nullable: int | None,
        small: Annotated[int, msgspec.Meta(ge=0, le=10, description="A small one.")] = 3,
        left_out: str | None = "never given",
    ) -> dict[str, Any]:
        """Tell what came."""
        self.got = {name: value for name, value in locals().items() if name != "self"}
        return {"big": big, "price": price}

    @method
    async def count(self, first: int) -> AsyncIterator[int]:
        """Count for as long as somebody listens."""
        try:
            while True:
                yield first + self.sent
                self.sent += 1
                await asyncio.sleep(0.002)
        finally:
            self.ended = True

    @method(timeout=500)
    async def hold(self) -> None:
        """Last for as long as its caller waits."""
        self.is_held = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_held = False

    @method(one_way=True, keep_failed=True)
    async def lose(self, text: str) -> None:
        raise OSError(text)

    @method
    async def add_up(self, items: AsyncIterator[int]) -> int:
        """Add what comes."""
        return sum([item async for item in items])

    @method
    async def ping(self) -> str:
        self.calls += 1
        return "pong"


class Visit:
    """A console that is served, and a browser that looks at it."""

    def __init__(self, chromium: Browser, base: str) -> None:
        self.base = base
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.without_policy: list[str] = []
        self._chromium = chromium

    async def page(self, **options: Any) -> Page:
        """A page of a new visitor."""
        context = await self._chromium.new_context(base_url=self.base, **options)
        context.set_default_timeout(PATIENCE * 1000)
        page = await context.new_page()
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)
        page.on("response", self._answered)
        return page

    def _said(self, kind: str, text: str) -> None:
        # The browser's own line for each answer of 4xx, which scenes provoke.
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "blob:")):
            self.elsewhere.append(request.url)

    def _answered(self, response: Response) -> None:
        policy = response.headers.get("content-security-policy", "")
        if response.url.startswith(self.base) and (
            "default-src 'none'" not in policy or "unsafe" in policy
        ):
            self.without_policy.append(response.url)

    async def arrives(self, page: Page, path: str) -> None:
        """Wait until the browser is there, and the console's script runs."""
        await expect(page).to_have_url(f"{self.base}{path}")
        await expect(page.locator("#live")).to_have_attribute("data-state", "on")

    def check(self) -> None:
        """Fail for what no page may do."""
        assert not self.errors
        assert not self.elsewhere
        assert not self.without_policy


@asynccontextmanager
async def visiting(rabbit: Rabbit, **options: Any) -> AsyncIterator[Visit]:
    config = uvicorn.Config(
        app(rabbit, interval=0.5, **options),
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # The browser comes first: while it starts, the console would hardly get its turn.
    async with browser() as chromium:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                visit = Visit(chromium, base)
                yield visit
                visit.check()
            finally:
                await chromium.close()  # and with it the feeds, for which the server would wait
                server.should_exit = True
                await serving


async def test_each_page_by_mouse_by_keys_in_the_dark_and_on_a_phone(
    client: Rabbit, host: Rabbit
) -> None:
    kinds = Kinds()
    async with host.serving(kinds) as serving, visiting(client, allow_calls=True) as visit:
        page = await visit.page()
        paths = ("/", "/service/kinds", "/method/kinds.every", "/calls", "/failures", "/queues")
        for path in (*paths, "/map", f"/instance/{serving.instance}", "/failed/a.b"):
            await page.goto(path)
            await expect(page.locator("h1")).to_be_visible()

        # It lives: what happens is shown without another look.
        await page.goto("/methods?q=ping")
        row = page.locator('tr[data-row="kinds.ping"]')
        await expect(row).to_contain_text("ping")
        await client.remote(Kinds).ping()
        await expect(row).to_contain_text("0 %")
        await expect(page).to_have_url(f"{visit.base}/methods?q=ping")

        # A list is sorted and searched by its URL.
        await page.goto("/methods")
        await page.get_by_role("link", name="p95", exact=True).click()
        await expect(page).to_have_url(f"{visit.base}/methods?sort=-p95")
        await expect(page.locator("th[aria-sort]")).to_contain_text("p95")

        # Keys.
        await page.goto("/")
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#help")).to_be_hidden()
        await page.keyboard.press("j")
        await expect(page.locator("tr.at")).to_have_attribute("data-row", "kinds")
        await page.keyboard.press("Enter")
        await visit.arrives(page, "/service/kinds")
        for _ in range(4):  # in a hurry: Chromium has the focus still on the help that is closed
            await page.goto("/")
            await page.keyboard.press("?")
            await expect(page.locator("#help")).to_be_visible()
            for key in ("Escape", "j", "Enter"):
                await page.keyboard.press(key)
            await visit.arrives(page, "/service/kinds")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        await expect(page.locator("tr.at")).to_have_count(1)
        await page.keyboard.press("/")
        await expect(page.locator(".search input")).to_be_focused()
        await page.keyboard.type("kinds.ping")
        await page.keyboard.press("Enter")
        await visit.arrives(page, "/method/kinds.ping")

        # The dark, by the system and by hand.
        paper = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(paper)
        dark_page = await visit.page(color_scheme="dark")
        await dark_page.goto("/")
        dark = await dark_page.evaluate(paper)
        assert light != dark
        await dark_page.locator("#theme").click()
        assert await dark_page.evaluate(paper) == light
        await dark_page.reload()
        assert await dark_page.evaluate(paper) == light

        # A phone: nothing is wider than it.
        phone = await visit.page(viewport={"width": 390, "height": 844})
        await phone.goto("/map")  # the last of the pages
        await expect(phone.locator("nav a[aria-current]")).to_be_in_viewport(ratio=0.9)

        # The map is wider, and stays where it was scrolled to while it lives. Pointing at a box
        # shows its lines.
        await expect(phone.locator('.map .edge[data-to="kinds"]')).to_have_count(1)
        scrolled = "document.querySelector('.map .scroll').scrollLeft"
        await phone.evaluate(f"{scrolled} = 20; document.querySelector('.map svg').id = 'before'")
        await expect(phone.locator(".map svg#before")).to_have_count(0)
        assert await phone.evaluate(scrolled) == 20
        await phone.locator('.map .node[data-name="kinds"]').hover()
        await expect(phone.locator(".map svg.picked .edge.on")).to_have_count(1)
        await phone.locator("h1").hover()
        await expect(phone.locator(".map svg.picked")).to_have_count(0)
        # No column of any table is out of sight there, and each cell says what it is of.
        await client.send(client.remote(Kinds).lose)("a letter")
        holding = asyncio.create_task(client.remote(Kinds).hold())
        await until(lambda: kinds.is_held, "a call runs")
        for path, text in {
            "/": "kinds",
            "/methods": "kinds.ping",
            "/service/kinds": serving.instance,
            "/method/kinds.every": serving.instance,
            "/calls": "kinds.hold",
            "/failures": "kinds.lose",
            "/failed/kinds.lose": "OSError",
            "/queues": "leveret.kinds.ping",
            f"/instance/{serving.instance}": "kinds.ping",
            "/map": "kinds",
        }.items():

            async def shown(path: str = path, text: str = text) -> bool:
                await phone.goto(path)
                return await phone.locator("main tbody tr", has_text=text).count() > 0

            await until_found(shown, True, f"{path} shows {text}")
            wide = await phone.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, path
            assert await phone.evaluate(OUT_OF_SIGHT) == [], path
        holding.cancel()
        await phone.goto("/service/kinds/compare")
        assert await phone.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_a_form_sends_each_kind_of_value_as_it_was_typed_and_shows_streams(
    client: Rabbit, host: Rabbit
) -> None:
    kinds = Kinds()
    async with host.serving(kinds) as serving, visiting(client, allow_calls=True) as visit:
        page = await visit.page(permissions=["clipboard-read", "clipboard-write"])
        await page.goto("/method/kinds.every")

        def field(name: str) -> Any:
            return page.locator(f'#pane-form > [data-name="{name}"]')

        def typed(name: str) -> Any:
            return field(name).locator("[data-input]").first

        await page.locator("#send").click()
        await expect(field("big").locator("[data-problem]").first).to_have_text(
            "This must be a whole number."
        )
        for name, value in {
            "big": str(BIG),
            "ratio": "0.125",
            "text": 'ä "quoted"\nand more',
            "price": "12.50",
            "day": "2026-11-27",
            "at": "2026-11-27T09:30:00+01:00",
            "span": "PT1H30M",
            "ident": "123e4567-e89b-12d3-a456-426614174000",
            "anything": '{"deep": [1, null]}',
        }.items():
            await typed(name).fill(value)
        await typed("flag").check()
        await field("raw").locator("[data-encoding]").select_option("text")
        await typed("raw").fill("bytes & ä")
        await typed("colour").select_option(label="red")
        await field("pet").locator("[data-branch]").select_option(label="Dog")
        dog = field("pet").locator("[data-one]:not([hidden])")
        await dog.locator('[data-name="name"] [data-input]').fill("Rex")
        await dog.locator('[data-name="street"] [data-input]').fill("High")
        await dog.locator('[data-name="zip"] [data-state]').select_option("null")
        await field("either").locator("[data-branch]").select_option(label="text")
        await field("either").locator("[data-one]:not([hidden]) [data-input]").fill("7")
        for number, tag in enumerate(("a", "b", "c")):
            await field("tags").locator("[data-add]").click()
            await field("tags").locator("[data-input]").nth(number).fill(tag)
        await field("tags").locator("[data-remove]").nth(1).click()
        for number, part in enumerate(("1", "one")):
            await field("pair").locator("[data-input]").nth(number).fill(part)
        await field("table").locator("[data-add]").click()
        await field("table").locator("[data-key]").fill("k")
        await field("table").locator("[data-input]").fill(str(2**53 + 1))
        await field("nullable").locator("[data-state]").select_option("null")
        await field("small").locator("[data-state]").select_option("value")
        await typed("small").fill("10")
        await page.locator("summary", has_text="Deadline").click()
        await page.locator("#timeout").fill("30")
        await page.locator("#metadata").fill("tenant=7")
        await page.locator("#send").click()
        await expect(page.locator("#verdict")).to_have_text("OK")

        wanted = {
            "big": BIG,
            "ratio": 0.125,
            "text": 'ä "quoted"\nand more',
            "flag": True,
            "raw": "bytes & ä".encode(),
            "price": decimal.Decimal("12.50"),
            "day": dt.date(2026, 11, 27),
            "at": dt.datetime(2026, 11, 27, 8, 30, tzinfo=dt.UTC),
            "span": dt.timedelta(hours=1, minutes=30),
            "ident": uuid.UUID("123e4567-e89b-12d3-a456-426614174000"),
            "colour": Colour.RED,
            "one": "a",
            "pet": Dog(name="Rex", home=Address(street="High", zip=None)),
            "either": "7",
            "tags": ["a", "c"],
            "pair": (1, "one"),
            "table": {"k": 2**53 + 1},
            "anything": {"deep": [1, None]},
            "nullable": None,
            "small": 10,
            "left_out": "never given",
        }
        assert kinds.got == wanted
        await expect(page.locator("#text")).to_contain_text(f'"big": {BIG}')
        await expect(page.locator("#text")).to_contain_text('"price": "12.50"')

        async def bar() -> bool:
            """Servers may be late to say what they have counted; then there is none."""
            await page.locator("#send").click()
            await expect(page.locator("#verdict")).to_have_text("OK")
            return "handler" in await page.locator("#legend").inner_text()

        await until_found(bar, True, "the bar says how long the handler took")

        # What it is as a command and as a link; the link fills the form again, and calls the same.
        await page.locator("#copy-cli").click()
        await expect(page.locator("#copy-cli")).to_have_text("Copied")
        command = await page.evaluate("navigator.clipboard.readText()")
        assert command.startswith("leveret call kinds.every --arguments '")
        assert str(BIG) in command
        assert "--metadata 'tenant=7'" in command
        await page.locator("#copy-python").click()
        await expect(page.locator("#copy-python")).to_have_text("Copied")
        compile(await page.evaluate("navigator.clipboard.readText()"), "python", "exec")
        await page.locator("#tab-history").click()
        await expect(page.locator("#history li").first).to_contain_text("OK")
        kinds.got = {}
        link = await page.locator("#history a").first.get_attribute("href")
        assert link is not None
        await page.goto(link)
        await expect(typed("big")).to_have_value(str(BIG))
        await page.locator("#tab-json").click()
        await expect(page.locator("#json")).to_have_value(re.compile(str(BIG)))
        await page.locator("#send").click()
        await expect(page.locator("#verdict")).to_have_text("OK")
        assert kinds.got == wanted

        # A stream is shown live, waits while it is paused, and is cancelled.
        await page.goto("/method/kinds.count")
        await page.locator('[data-name="first"] [data-input]').fill(str(2**60))
        await page.locator("#send").click()
        shown = page.locator("#text")
        await expect(shown).to_contain_text(re.compile(r"11529215046068\d{5}"))
        await page.locator("#pause").click()
        await expect(page.locator("#pause")).to_have_text("Go on")
        before, sent = await shown.inner_text(), kinds.sent
        await until(lambda: kinds.sent > sent + 3, "the server sends more")
        assert await shown.inner_text() == before
        await page.locator("#pause").click()
        await expect(shown).not_to_have_text(before)
        await page.locator("#cancel").click()
        await expect(page.locator("#verdict")).to_have_text("cancelled")
        await until(lambda: kinds.ended, "the handler is cancelled")
        await expect(page.locator("#send")).to_be_enabled()

        # Seconds that are no number are no call; a call is cancelled at its server as well.
        await page.goto("/method/kinds.hold")
        await page.locator("summary", has_text="Deadline").click()
        await page.locator("#timeout").fill("soon")
        await page.locator("#send").click()
        await expect(page.locator("#options-problem")).to_have_text(
            "Seconds must be a number above 0."
        )
        await page.locator("#timeout").fill("")
        await page.locator("#send").click()
        await until(lambda: kinds.is_held, "the handler runs")
        await page.locator("#cancel").click()
        await expect(page.locator("#verdict")).to_have_text("cancelled")
        await until(lambda: not kinds.is_held, "the handler is cancelled")

        await choose_a_server(page, serving.instance)

        # A write that fails says why; what cannot be undone is asked for twice.
        await client.send(client.remote(Kinds).lose)("a letter")
        retry = page.get_by_role("button", name="Retry")

        async def failed() -> int:
            await page.goto("/failed/kinds.lose")
            return await retry.count()

        await until_found(failed, 1, "the failed request is shown")
        answers = [(400, '{"message": "its queue is full"}'), (200, '{"done": 0}')]
        answers.append((200, '{"done": 1}'))

        async def answer(route: Route) -> None:
            status, body = answers.pop(0)
            policy = {"content-security-policy": "default-src 'none'"}
            await route.fulfill(status=status, body=body, headers=policy)

        await page.route(re.compile("/failed/kinds.lose/(retry|drop)$"), answer)
        said = page.locator("#problem")
        await retry.click()
        await expect(said).to_have_text("its queue is full")
        await expect(retry).to_be_enabled()
        questions: list[str] = []

        async def sure(dialog: Dialog) -> None:
            questions.append(dialog.message)
            await dialog.accept()

        page.on("dialog", sure)
        await page.get_by_role("button", name="Drop").click()
        await expect(said).to_contain_text("was not found")
        async with page.expect_navigation():
            await retry.click()
        await expect(said).to_be_hidden()
        assert (len(questions), answers) == (1, [])

        # An upload: one item a line, or a file of them.
        await page.goto("/method/kinds.add_up")
        items = page.locator("#items")
        await items.fill(f"{BIG}\nno number\n")
        await page.locator("#send").click()
        await expect(page.locator("#items-problem")).to_have_text("Item 2 is no JSON.")
        file = {"name": "items.jsonl", "mimeType": "text/plain", "buffer": f"{BIG}\n1\n".encode()}
        await page.locator("[data-fills=items]").set_input_files(file)  # type: ignore[arg-type]
        await expect(items).to_have_value(f"{BIG}\n1\n")
        await page.locator("#send").click()
        await expect(page.locator("#verdict")).to_have_text("OK")
        await expect(page.locator("#text")).to_have_text(str(BIG + 1))

        # Contracts are compared.
        await page.goto("/service/kinds")
        await page.get_by_role("link", name="Compare the contract").click()
        await page.locator("#contract").fill('{"service": "kinds", "methods": {}}')
        await page.get_by_role("button", name="Compare").click()
        await expect(page.locator('tr[data-row="1"]')).to_contain_text("break")

        # A server drains once its question is answered.
        await page.goto(f"/instance/{serving.instance}")
        await page.get_by_role("button", name="Drain").click()
        await expect(said).to_have_text("The server drains.")
        assert (len(questions), serving.unready) == (2, "draining")


async def choose_a_server(page: Page, instance: str) -> None:
    """One server runs a call; links and commands name it."""
    await page.goto("/method/kinds.ping")
    await page.locator("summary", has_text="server").click()
    await page.locator("#instance").select_option(instance)
    await page.locator("#send").click()
    await expect(page.locator("#executed")).to_have_text(f"executed: yes, at the server {instance}")
    for kind, wanted in (
        ("cli", f"leveret call kinds.ping --arguments '{{}}' --instance {instance}"),
        ("python", f'rabbit.ask_one(service.ping, "{instance}")(**json.loads("{{}}"))'),
        ("link", f"&instance={instance}"),
    ):
        await page.locator(f"#copy-{kind}").click()
        await expect(page.locator(f"#copy-{kind}")).to_have_text("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert wanted in copied
    await page.goto(copied)
    await expect(page.locator("#instance")).to_have_value(instance)
    await page.goto("/method/kinds.count?instance=b47af560")
    await expect(page.locator("#instance")).to_have_count(0)


async def test_who_has_no_token_and_who_comes_from_elsewhere_gets_nothing(
    client: Rabbit, host: Rabbit
) -> None:
    kinds = Kinds()
    async with host.serving(kinds), visiting(client, token="open sesame") as visit:
        page = await visit.page()
        await page.goto("/methods?q=ping")
        await page.get_by_label("Token").fill("open")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_label("Token").fill("open sesame")
        await page.keyboard.press("Enter")
        await expect(page.locator("tr[data-row]")).to_have_count(1)
        cookies = await page.context.cookies()
        assert [(it.get("httpOnly"), it.get("sameSite")) for it in cookies] == [(True, "Strict")]

        # It only looks.
        await page.goto("/method/kinds.ping")
        await expect(page.get_by_role("button", name="Read-only")).to_be_disabled()
        asked = "async (path) => (await fetch(path, {method: 'POST', body: '{}'})).status"
        assert await page.evaluate(asked, "/call/kinds.ping") == 403

        # A page of another site, in the same browser.
        await page.context.route(
            "http://elsewhere.example/**",
            lambda route: route.fulfill(body="<h1>evil</h1>", content_type="text/html"),
        )
        await page.goto("http://elsewhere.example/")
        statuses: list[int] = []
        page.on(
            "response",
            lambda answer: (
                statuses.append(answer.status) if answer.url.startswith(visit.base) else None
            ),
        )
        failed = await page.evaluate(
            """async (path) => {
                try { await fetch(path, {method: "POST", mode: "no-cors", body: "{}"}); return ""; }
                catch (error) { return String(error); }
            }""",
            f"{visit.base}/logout",
        )
        assert failed or set(statuses) <= {401, 403}
        assert kinds.calls == 0
        await page.goto(f"{visit.base}/methods")
        await expect(page.locator("h1")).to_contain_text("Methods")
        await page.get_by_title("Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        visit.errors.clear()
        visit.elsewhere.clear()


async def test_a_broker_that_goes_away_is_told_of_until_it_is_back(
    rabbitmq_url: str, host: Rabbit
) -> None:
    async with (
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url, reconnect=Reconnect(first=0.01, most=0.1)) as client,
        host.serving(Kinds()),
        visiting(client) as visit,
    ):
        page = await visit.page()
        await page.goto("/")
        row = page.locator('tr[data-row="kinds"]')
        await expect(row).to_be_visible()
        proxy.refuse("hang_up")
        proxy.cut()
        away = page.get_by_text("The broker is away")
        await expect(away).to_be_visible()
        await expect(row).to_be_visible()
        proxy.accept()
        await expect(away).to_be_hidden()
        await expect(row).to_be_visible()
