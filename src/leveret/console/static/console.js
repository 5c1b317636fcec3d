// The console's one script. Pages are made by the server; this refreshes what lives, sends calls,
// and makes JSON text of the form. It never makes a number of what a person typed: JavaScript rounds
// integers above 2^53, so all values travel as text.
"use strict";

(() => {
  const root = document.documentElement;
  const base = root.dataset.base || "";
  const kept = {
    get(name) { try { return localStorage.getItem(name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem(name, value); } catch { /* private mode, or full */ } },
    remove(name) { try { localStorage.removeItem(name); } catch { /* as above */ } },
  };
  const theme = kept.get("leveret:theme");
  if (theme) root.dataset.theme = theme;

  document.addEventListener("DOMContentLoaded", () => {
    const id = (name) => document.getElementById(name);

    // On a phone the pages do not fit: the one that is shown is in sight.
    document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

    // -- light and dark, keys ------------------------------------------------------------------
    id("theme")?.addEventListener("click", () => {
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = isDark ? "light" : "dark";
      kept.set("leveret:theme", root.dataset.theme);
    });
    const help = id("help");
    id("help-button")?.addEventListener("click", () => help.showModal());

    let at = null; // the row that j and k have come to
    const rows = () => [...document.querySelectorAll("tr[data-row]")];
    function mark() {
      rows().forEach((row) => row.classList.toggle("at", row.dataset.row === at));
    }
    function step(by) {
      const all = rows();
      if (!all.length) return;
      const now = all.findIndex((row) => row.dataset.row === at);
      const next = all[Math.min(Math.max(now + by, 0), all.length - 1)];
      at = next.dataset.row;
      mark();
      next.scrollIntoView({ block: "nearest" });
    }
    // Where nothing has the focus, but for a button of the help: Chromium takes it away from that one
    // a frame after the help was closed.
    const isOnPage = (target) => target === document.body || Boolean(help?.contains(target));
    const places = { o: "/", m: "/methods", c: "/calls", f: "/failures" };
    document.addEventListener("keydown", (event) => {
      const form = id("call");
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form) { form.requestSubmit(); return; }
      if (event.target.closest("input, textarea, select, [contenteditable]")) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
      if (event.key === "/") { event.preventDefault(); document.querySelector(".search input")?.focus(); }
      else if (event.key === "?") help?.showModal();
      else if (event.key === "j") step(1);
      else if (event.key === "k") step(-1);
      else if (event.key === "Enter" && at && isOnPage(event.target)) {
        event.preventDefault();
        rows().find((row) => row.dataset.row === at)?.querySelector("a")?.click();
      }
      else if (places[event.key] && help) location.assign(base + places[event.key]);
    });

    // -- the map: what a box calls, and who calls it, while somebody points at it ----------------
    let picked = null;
    function pick() {
      const drawing = document.querySelector(".map svg");
      if (!drawing) return;
      const nodes = [...drawing.querySelectorAll(".node")];
      if (!nodes.some((it) => it.dataset.name === picked)) picked = null;
      const near = new Set([picked]);
      for (const edge of drawing.querySelectorAll(".edge")) {
        const isOn = edge.dataset.from === picked || edge.dataset.to === picked;
        edge.classList.toggle("on", isOn);
        if (isOn) near.add(edge.dataset.from).add(edge.dataset.to);
      }
      for (const node of nodes) node.classList.toggle("on", near.has(node.dataset.name));
      drawing.classList.toggle("picked", picked !== null);
    }
    for (const kind of ["mouseover", "focusin"]) {
      document.addEventListener(kind, (event) => {
        const name = event.target.closest?.(".map .node")?.dataset.name ?? null;
        if (name === picked) return;
        picked = name;
        pick();
      });
    }

    // -- what lives: the server makes the page again, and its living parts are put in ------------
    let isAsking = false, again = false;
    async function refresh() {
      if (isAsking) { again = true; return; }
      isAsking = true;
      try {
        const response = await fetch(location.href, { headers: { accept: "text/html" } });
        if (response.redirected && new URL(response.url).pathname.endsWith("/login")) { location.reload(); return; }
        const made = new DOMParser().parseFromString(await response.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
          const fresh = made.getElementById(part.id);
          if (!fresh || fresh.innerHTML === part.innerHTML || part.contains(document.activeElement)) continue;
          const scrolled = [...part.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
          part.innerHTML = fresh.innerHTML;
          part.querySelectorAll(".scroll").forEach((it, index) => { it.scrollLeft = scrolled[index] ?? 0; });
        }
        mark();
        pick();
      } catch { /* the feed says that the console is away */ }
      isAsking = false;
      if (again) { again = false; refresh(); }
    }
    const live = id("live");
    if (live) {
      const feed = new EventSource(base + "/events");
      feed.addEventListener("open", () => { live.dataset.state = "on"; id("console-away").hidden = true; });
      feed.addEventListener("poll", () => { if (!document.hidden) refresh(); });
      feed.addEventListener("error", () => { live.dataset.state = "off"; id("console-away").hidden = false; });
      addEventListener("pagehide", () => feed.close());
      addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
      document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
    }

    // -- writes of lists -----------------------------------------------------------------------
    const post = (path, body, more = {}) => fetch(base + path, { method: "POST", headers: { "content-type": "application/json" }, body, ...more });
    function banner(text) {
      id("problem").textContent = text;
      id("problem").hidden = !text;
    }
    // What came of it; undefined where it failed, which the banner says.
    async function settle(button, path, body) {
      button.disabled = true;
      banner("");
      try {
        const response = await post(path, JSON.stringify(body));
        const text = await response.text();
        if (response.ok) return JSON.parse(text);
        let said = text;
        try { said = JSON.parse(text).message || text; } catch { /* it is no JSON */ }
        banner(said || "The console answered " + response.status + ".");
      } catch (error) {
        banner("The console does not answer: " + error.message);
      } finally {
        button.disabled = false;
        button.blur();
      }
      return undefined;
    }
    document.addEventListener("click", async (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.stop) {
        const answer = await settle(button, "/calls/stop", [button.dataset.stop]);
        if (answer && !answer.stopped.length) banner("No server has this call any more.");
        if (answer) refresh();
      } else if (button.dataset.drain) {
        if (!confirm(button.dataset.sure)) return;
        const answer = await settle(button, "/instance/" + encodeURIComponent(button.dataset.drain) + "/drain", []);
        if (answer) banner(answer.draining ? "The server drains." : "The server did not answer; it may have ended.");
      } else if (button.dataset.settle) {
        if (button.dataset.sure && !confirm(button.dataset.sure)) return;
        const answer = await settle(button, "/failed/" + button.dataset.settle, [button.dataset.id]);
        if (answer?.done) location.reload();
        else if (answer) banner("The request was not found: somebody else has it, or it is gone. Reload the page to see what there is.");
      }
    });

    // -- files that fill a text ---------------------------------------------------------------
    document.addEventListener("change", async (event) => {
      const it = event.target;
      if (it.matches("[data-fills]") && it.files[0]) id(it.dataset.fills).value = await it.files[0].text();
    });

    if (id("call")) method(id, post);
  });

  // -- the form of a method --------------------------------------------------------------------
  class Problem extends Error {
    constructor(field, text, where = "json-problem") { super(text); this.field = field; this.where = where; }
  }
  const INTEGER = /^-?(0|[1-9][0-9]*)$/;
  const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
  const own = (field, what) => field.querySelector(`:scope > [data-body] > ${what}`);

  // The JSON text of a field; undefined for one that is left out.
  function read(field) {
    const state = field.querySelector(":scope > .field-head > [data-state]")?.value ?? "value";
    if (state === "absent") return undefined;
    if (state === "null") return "null";
    const kind = field.dataset.kind;
    const input = own(field, "[data-input]") ?? own(field, "label > [data-input]") ?? own(field, ".row > [data-input]");
    const typed = input?.value ?? "";
    switch (kind) {
      case "integer": case "number": {
        const text = typed.trim();
        if (!(kind === "integer" ? INTEGER : NUMBER).test(text)) throw new Problem(field, kind === "integer" ? "This must be a whole number." : "This must be a number.");
        return text;
      }
      case "boolean": return String(input.checked);
      case "choice": return typed;
      case "constant": return own(field, "[data-constant]").dataset.constant;
      case "json": {
        if (!isJson(typed)) throw new Problem(field, "This must be JSON.");
        return typed.trim();
      }
      case "bytes": return JSON.stringify(own(field, ".row > [data-encoding]").value === "text" ? base64(new TextEncoder().encode(typed)) : typed.replace(/\s/g, ""));
      case "decimal": case "date": case "datetime": case "time": case "duration": case "uuid":
        if (!typed.trim()) throw new Problem(field, "This must not be empty.");
        return JSON.stringify(typed.trim());
      case "object": return "{" + members(field).map(([name, text]) => JSON.stringify(name) + ": " + text).join(", ") + "}";
      case "tuple": return "[" + inner(field).map(read).join(", ") + "]";
      case "list": return "[" + entries(field).map((entry) => read(entry.querySelector(":scope > [data-field]"))).join(", ") + "]";
      case "map": return "{" + entries(field).map((entry) => JSON.stringify(entry.querySelector(":scope > [data-key]").value) + ": " + read(entry.querySelector(":scope > [data-field]"))).join(", ") + "}";
      case "union": return read(own(field, "[data-branches]").children[own(field, "[data-branch]").value].firstElementChild);
      default: return JSON.stringify(typed);
    }
  }
  const inner = (field) => [...field.querySelectorAll(":scope > [data-body] > [data-field]")];
  const entries = (field) => [...own(field, "[data-items]").children];
  const members = (field) => inner(field).map((it) => [it.dataset.name, read(it)]).filter(([, text]) => text !== undefined);
  function isJson(text) { try { JSON.parse(text); return true; } catch { return false; } }
  function base64(bytes) {
    let text = "";
    for (let from = 0; from < bytes.length; from += 32768) text += String.fromCharCode(...bytes.subarray(from, from + 32768));
    return btoa(text);
  }
  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

  function method(id, post) {
    const form = id("call");
    const key = form.dataset.key;
    const past = "leveret:history:" + key;
    const json = id("json");
    let shown = new URLSearchParams(location.search).get("tab") || "form";
    let source = shown === "json" && json.value ? "json" : "form";

    function show(name) {
      if (name === "json" && source === "form") {
        try { json.value = argumentsOfForm(); } catch (problem) { tell(problem); if (shown !== "json") name = "form"; }
      }
      for (const tab of ["form", "json", "history"]) {
        id("tab-" + tab).setAttribute("aria-selected", String(tab === name));
        id("pane-" + tab).hidden = tab !== name;
      }
      if (name !== "history") source = name;
      if (name === "history") list();
      shown = name;
      const url = new URL(location.href);
      if (name === "form") url.searchParams.delete("tab"); else url.searchParams.set("tab", name);
      history.replaceState(null, "", url);
    }
    for (const tab of ["form", "json", "history"]) id("tab-" + tab).addEventListener("click", () => show(tab));

    function argumentsOfForm() {
      for (const field of form.querySelectorAll(".field.wrong")) { field.classList.remove("wrong"); field.querySelector(":scope > [data-problem]").hidden = true; }
      const found = [...id("pane-form").querySelectorAll(":scope > [data-field]")].map((it) => [it.dataset.name, read(it)]).filter(([, text]) => text !== undefined);
      return "{" + found.map(([name, text]) => JSON.stringify(name) + ": " + text).join(", ") + "}";
    }
    function argumentsText() {
      id("json-problem").hidden = true;
      if (source === "form") return argumentsOfForm();
      const text = json.value.trim() || "{}";
      if (!isJson(text)) throw new Problem(null, "This is no JSON.");
      return text;
    }
    function tell(problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (!problem.field) { id(problem.where).textContent = problem.message; id(problem.where).hidden = false; return; }
      const said = problem.field.querySelector(":scope > [data-problem]");
      problem.field.classList.add("wrong");
      said.textContent = problem.message;
      said.hidden = false;
      problem.field.querySelector("[data-input]")?.focus();
    }

    // what a person does in the form
    form.addEventListener("change", (event) => {
      const it = event.target;
      const field = it.closest("[data-field]");
      if (it.matches("[data-state]")) field.querySelector(":scope > [data-body]").hidden = it.value !== "value";
      else if (it.matches("[data-branch]")) [...own(field, "[data-branches]").children].forEach((one, index) => { one.hidden = String(index) !== it.value; });
      else if (it.matches("[data-file]") && it.files[0]) {
        it.files[0].arrayBuffer().then((buffer) => {
          own(field, ".row > [data-encoding]").value = "base64";
          own(field, ".row > [data-input]").value = base64(new Uint8Array(buffer));
        });
      }
    });
    form.addEventListener("click", (event) => {
      const it = event.target.closest("button");
      if (!it) return;
      const field = it.closest("[data-field]");
      if (it.matches("[data-add]")) {
        own(field, "[data-items]").append(own(field, "template").content.cloneNode(true));
        own(field, "[data-items]").lastElementChild.querySelector("input, textarea, select")?.focus();
      } else if (it.matches("[data-remove]")) it.closest("[data-entry]").remove();
      else if (it.matches("[data-now]")) own(field, "[data-input]").value = new Date().toISOString();
    });

    // options, links, commands
    function options() {
      const metadata = {};
      for (const line of id("metadata").value.split("\n")) {
        const [name, ...rest] = line.split("=");
        if (name.trim()) metadata[name.trim()] = rest.join("=").trim();
      }
      return { timeout: id("timeout").value.trim(), priority: id("priority").value.trim(), metadata };
    }
    function body() {
      const { timeout, priority, metadata } = options();
      const asked = { arguments: argumentsText(), metadata };
      id("options-problem").hidden = true;
      if (timeout && !(NUMBER.test(timeout) && Number(timeout) > 0 && Number.isFinite(Number(timeout)))) throw new Problem(null, "Seconds must be a number above 0.", "options-problem");
      if (priority && !/^[0-9]{1,3}$/.test(priority)) throw new Problem(null, "Priority must be a whole number.", "options-problem");
      if (form.dataset.upload) {
        id("items-problem").hidden = true;
        asked.upload = form.dataset.upload;
        asked.items = id("items").value.split("\n").map((line) => line.trim()).filter(Boolean);
        const wrong = asked.items.findIndex((line) => !isJson(line));
        if (wrong >= 0) throw new Problem(null, `Item ${wrong + 1} is no JSON.`, "items-problem");
      }
      if (timeout) asked.timeout = Number(timeout);
      if (priority) asked.priority = Number(priority);
      if (id("instance")?.value) asked.instance = id("instance").value;
      return asked;
    }
    const lines = (metadata) => Object.entries(metadata).map(([name, text]) => name + "=" + text).join("\n");
    function link(asked) {
      const url = new URL(location.pathname, location.origin);
      url.searchParams.set("arguments", asked.arguments);
      if (asked.timeout) url.searchParams.set("timeout", asked.timeout);
      if (asked.priority !== undefined) url.searchParams.set("priority", asked.priority);
      if (asked.instance) url.searchParams.set("instance", asked.instance);
      if (asked.items?.length) url.searchParams.set("items", asked.items.join("\n"));
      if (Object.keys(asked.metadata ?? {}).length) url.searchParams.set("metadata", lines(asked.metadata));
      return url.href;
    }
    function cli(asked) {
      const words = ["leveret call", /^[\w.-]+$/.test(key) ? key : quoted(key), "--arguments", quoted(asked.arguments)];
      if (form.dataset.kind === "stream") words.push("--stream");
      if (asked.timeout) words.push("--timeout", asked.timeout);
      if (asked.priority !== undefined) words.push("--priority", asked.priority);
      if (asked.instance) words.push("--instance", asked.instance);
      for (const [name, text] of Object.entries(asked.metadata)) words.push("--metadata", quoted(name + "=" + text));
      return words.join(" ");
    }
    function python(asked) {
      const given = [];
      if (asked.timeout) given.push("timeout=" + asked.timeout);
      if (asked.priority !== undefined) given.push("priority=" + asked.priority);
      if (Object.keys(asked.metadata).length) given.push("metadata=" + JSON.stringify(asked.metadata));
      const caller = given.length ? `rabbit.with_options(${given.join(", ")})` : "rabbit";
      const values = `**json.loads(${JSON.stringify(asked.arguments)})`, text = `${JSON.stringify(key)}, ${values}`;
      const [service, name] = key.split(".");
      const call = asked.instance ? `        service = await rabbit.discover(${JSON.stringify(service)})\n        print(await ${caller}.ask_one(service.${name}, ${JSON.stringify(asked.instance)})(${values}))` : form.dataset.kind === "stream" ? `        async for item in ${caller}.stream(${text}):\n            print(item)` : `        print(await ${caller}.call(${text}))`;
      return `import asyncio\nimport json\n\nimport leveret\n\n\nasync def main() -> None:\n    async with leveret.connect() as rabbit:\n${call}\n\n\nasyncio.run(main())\n`;
    }
    async function copy(button, text) {
      const was = button.textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
      catch { id("answer").hidden = false; id("text").textContent = text; }
      setTimeout(() => { button.textContent = was; }, 1500);
    }
    for (const [name, make] of [["copy-cli", cli], ["copy-python", python], ["copy-link", link]]) {
      id(name).addEventListener("click", (event) => { try { copy(event.currentTarget, make(body())); } catch (problem) { tell(problem); } });
    }
    id("to-form").addEventListener("click", () => { try { location.assign(link(body())); } catch (problem) { tell(problem); } });

    // history
    const before = () => { try { return JSON.parse(kept.get(past)) ?? []; } catch { return []; } };
    function remember(asked, answer) {
      const all = [{ at: Date.now(), asked, ok: answer.ok, code: answer.code, seconds: answer.seconds }, ...before()].slice(0, 100);
      kept.set(past, JSON.stringify(all));
    }
    function list() {
      id("history").replaceChildren(...before().map((one) => {
        const item = document.createElement("li"), verdict = document.createElement("span"), there = document.createElement("a"), code = document.createElement("code");
        verdict.className = "tag " + (one.ok ? "good" : "bad");
        verdict.textContent = one.ok ? "OK" : one.code || "failed";
        there.href = link(one.asked);
        code.textContent = one.asked.arguments.slice(0, 200);
        there.append(code);
        item.append(verdict, " ", new Date(one.at).toISOString().slice(0, 19).replace("T", " "), " ", there);
        return item;
      }));
    }
    id("forget").addEventListener("click", () => { kept.remove(past); list(); });

    // calls
    let running = null, full = "";
    const seconds = (value) => value < 0.001 ? `${Math.round(value * 1e6)} µs` : value < 1 ? `${(value * 1e3).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
    function begin(verdict) {
      id("answer").hidden = false;
      id("verdict").className = "tag";
      id("verdict").textContent = verdict;
      for (const name of ["took", "executed", "legend", "text"]) id(name).textContent = "";
      id("bar").setAttribute("hidden", "");
      id("reply-metadata").hidden = true;
      id("download").hidden = true;
      id("cancel").hidden = false;
      id("send").disabled = true;
      full = "";
    }
    function end() {
      id("cancel").hidden = id("pause").hidden = true;
      id("send").disabled = false;
      running = null;
    }
    function put(text) {
      full = text;
      const most = 200000;
      id("text").textContent = text.length > most ? text.slice(0, most) + "\n… cut; download it for all" : text;
      if (text.length > most || form.dataset.kind === "stream") {
        id("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
        id("download").hidden = false;
      }
    }
    function answered(answer, at = "") {
      id("verdict").className = "tag " + (answer.ok ? "good" : "bad");
      id("verdict").textContent = answer.ok ? "OK" : answer.code || "failed";
      id("took").textContent = seconds(answer.seconds);
      id("executed").textContent = "executed: " + answer.executed + (at && answer.executed !== "no" ? ", at the server " + at : "");
      if (answer.parts.length) draw(answer.parts, answer.of);
      const metadata = Object.entries(answer.metadata);
      id("reply-metadata").hidden = !metadata.length;
      id("reply-metadata").tBodies[0].replaceChildren(...metadata.map(([name, text]) => {
        const row = document.createElement("tr");
        for (const cell of [name, text]) row.insertCell().textContent = cell;
        return row;
      }));
    }
    function draw(parts, of) {
      const names = { queue: "way and queue", handler: "handler", reply: "reply and client" };
      const total = parts.reduce((sum, part) => sum + part.seconds, 0) || 1;
      const bar = id("bar");
      let x = 0;
      bar.removeAttribute("hidden");
      bar.replaceChildren(...parts.map((part) => {
        const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        const width = part.seconds / total * 100;
        for (const [name, value] of Object.entries({ x, y: 0, height: 6, width, class: part.name })) rect.setAttribute(name, value);
        x += width;
        return rect;
      }));
      id("legend").replaceChildren(...parts.map((part) => {
        const one = document.createElement("span");
        one.className = part.name;
        one.textContent = `${names[part.name]} ${seconds(part.seconds)}`;
        return one;
      }));
      if (of > 1) id("legend").append(`the mean of the ${of} calls that ended meanwhile`);
    }
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (running || !id("send")) return;
      let asked;
      try { asked = body(); } catch (problem) { tell(problem); return; }
      running = new AbortController();
      begin(form.dataset.kind === "stream" ? "streaming" : "calling");
      try {
        const more = { signal: running.signal };
        if (form.dataset.kind === "stream") await stream(asked, more);
        else await call(asked, more);
      } catch (error) {
        id("verdict").className = "tag bad";
        id("verdict").textContent = error.name === "AbortError" ? "cancelled" : "no answer";
        if (error.name !== "AbortError") id("text").textContent = String(error);
      }
      end();
    });
    async function call(asked, more) {
      const response = await post("/call/" + encodeURIComponent(key), JSON.stringify(asked), more);
      const answer = await response.json();
      put(answer.ok ? answer.text : `${answer.error}: ${answer.message}${answer.text ? "\n" + answer.text : ""}`);
      answered(answer, asked.instance);
      remember(asked, answer);
    }
    id("cancel").addEventListener("click", () => running?.abort());

    // A stream is read no further while it is paused: then its server waits as well.
    let go = null, resume = null;
    id("pause").addEventListener("click", () => {
      if (go) { resume(); go = null; id("pause").textContent = "Pause"; return; }
      go = new Promise((done) => { resume = done; });
      id("pause").textContent = "Go on";
    });
    async function stream(asked, more) {
      const response = await post("/stream/" + encodeURIComponent(key), JSON.stringify(asked), more);
      if (!response.ok) { const answer = await response.json(); put(`${answer.error}: ${answer.message}`); answered(answer); return; }
      id("pause").hidden = false;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      more.signal.addEventListener("abort", () => { resume?.(); go = null; id("pause").textContent = "Pause"; });
      let rest = "", items = [], count = 0, last = null;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (go) await go;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const one of events) {
          const name = /^event: (.*)$/m.exec(one)?.[1];
          const data = [...one.matchAll(/^data: (.*)$/gm)].map((match) => match[1]).join("\n");
          if (name === "item") { count += 1; items.push(data); }
          else if (name === "end") last = JSON.parse(data);
        }
        if (items.length > 10000) items = items.slice(-10000);
        id("took").textContent = `${count} items`;
        id("text").textContent = items.slice(-500).join("\n");
        id("text").scrollTop = id("text").scrollHeight;
      }
      if (!last) return;
      put(items.join("\n") + (last.ok ? "" : `\n${last.error}: ${last.message}`));
      answered(last);
      id("took").textContent = `${count} items, ${seconds(last.seconds)}`;
      remember(asked, last);
    }
    id("copy-answer").addEventListener("click", (event) => copy(event.currentTarget, full || id("text").textContent));
    if (shown !== "form") show(shown);
  }
})();
