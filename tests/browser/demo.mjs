// What a person sees of examples/demo.rs in Chromium.
//
//     cargo build --release --example demo
//     npm ci --prefix tests/browser
//     node tests/browser/demo.mjs target/release/examples
//
// With PICTURE=docs/demo.png it makes the README's picture as well.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync, statSync } from "node:fs";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { DOWN, PATIENCE, check, end, example, fits, fitsAt, follows, report, request, startBrowser, startProgram, startProxy, until } from "./harness.mjs";

const PANES = ["Short poll", "Long poll", "Server-Sent Events", "WebSocket"];
const CHINESE_PANES = ["短轮询", "长轮询", "Server-Sent Events", "WebSocket"];

const binary = example("demo");
const startDemo = (port = 0) => startProgram(binary, ["--port", String(port)], /Ctrl-C/);

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

async function publish(port, text) {
  const answer = await request(port, "POST", "/publish", text);
  assert.equal(answer.status, 200);
  assert.match(answer.text, /^\d+-\d+$/);
}

const browser = await startBrowser();
const published = []; // requests to /publish
browser.context.on("request", asked => {
  if (asked.url().endsWith("/publish")) published.push(asked);
});
const open = port => browser.open(`http://127.0.0.1:${port}/`);

const pane = (page, name) => page.getByRole("region", { name });
const states = (page, names = PANES) => Promise.all(names.map(name => pane(page, name).locator(".state").textContent()));
const gaps = page => Promise.all(PANES.map(name => pane(page, name).locator(".gaps:visible").allTextContents()));

const CONNECTED = ["open", "waiting", "open", "open"];
const serverState = page => page.locator("#server").getAttribute("data-state");

/** Each pane is connected, and the server's figures have come. */
const connected = page => until(async () => assert.deepEqual([...await states(page), await serverState(page)], [...CONNECTED, "there"]));

/** Nothing gets through: whatever the page asks now fails once more, and that is over when it is connected again. */
const lost = page => until(async () =>
  assert.deepEqual([...await states(page), await serverState(page)], [...PANES.map(() => "reconnecting"), "away"]));

/** Notes each state that the panes show from here on: some are gone before anybody looks. */
const noteStates = page => page.evaluate(() => {
  globalThis.seen = panes.map(() => []);
  panes.forEach((pane, n) => {
    const at = pane.find(".state");
    new MutationObserver(() => seen[n].push(at.textContent)).observe(at, { childList: true });
  });
});

/** Waits until a pane has shown a state since then. */
const hasShown = (page, n, state) => until(async () => assert.match((await page.evaluate(() => seen))[n].join("\n"), state));

/** Each pane shows just these lines, "gap" being one of its own. */
function shows(page, lines) {
  return until(async () => {
    for (const name of PANES) {
      const shown = await pane(page, name).locator("li").evaluateAll(lines =>
        lines.map(line => line.querySelector(".data")?.textContent ?? line.className));
      assert.deepEqual(shown, lines, name);
    }
  });
}

/** All panes have the server's last id. */
const agree = page => until(async () => {
  const { last } = await stats(new URL(page.url()).port);
  assert.deepEqual(await page.locator(".cursor").allTextContents(), PANES.map(() => last));
  assert.match(last, /^\d+-\d+$/);
});

/** It fits whatever state the panes are in. */
const fitsInAnyState = page => fits(page, async width => {
  for (const why of [undefined, "shutdown", "503"]) {
    const texts = await page.evaluate(why => panes.map(pane => {
      const before = pane.find(".state").textContent;
      pane.find(".state").textContent = why ? say("{state}: {why}", { state: say("reconnecting"), why: say(why) }) : say("reconnecting");
      return before;
    }), why);
    await fitsAt(page, width);
    await page.evaluate(texts => panes.forEach((pane, n) => (pane.find(".state").textContent = texts[n])), texts);
  }
});

/** The server has a long poll, a stream and a WebSocket: a page is told that it waits a little before the server is. */
const held = port => until(async () => {
  const { wait, sse, ws } = await stats(port);
  assert.deepEqual([wait.open, sse.open, ws.open], [1, 1, 1]);
});

/** From here on a page's own time stands still, until it is told otherwise or loaded anew: it forgets nothing, however
    long things take. */
const holdTime = page => page.evaluate(() => {
  globalThis.time = performance.now();
  performance.now = () => time;
});

const stats = async port => JSON.parse((await request(port, "GET", "/stats")).text);

const box = page => page.getByLabel("Publish a message");
const outcome = (page, text) => page.locator("#outcome").filter({ hasText: text }).waitFor();

async function write(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
}

// Colours as people see them: OKLab of what colour-blindness leaves of them (Machado, Oliveira and Fernandes 2009).

const SIGHT = {
  "usual sight": [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};
const times = (matrix, [a, b, c]) => [0, 3, 6].map(row => matrix[row] * a + matrix[row + 1] * b + matrix[row + 2] * c);

/** #rrggbb, or #rgb, as light. */
function linear(colour) {
  const digits = colour.length === 4 ? colour.slice(1).replace(/./g, "$&$&") : colour.slice(1);
  const parts = digits.match(/../g).map(part => parseInt(part, 16) / 255);
  return parts.map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
}

function perceived(sight, colour) {
  const seen = times(sight, colour).map(part => Math.min(1, Math.max(0, part)));
  const cones = times([0.4122214708, 0.5363325363, 0.0514459929, 0.2119034982, 0.6806995451, 0.1073969566,
    0.0883024619, 0.2817188376, 0.6299787005], seen).map(Math.cbrt);
  return times([0.2104542553, 0.793617785, -0.0040720468, 1.9779984951, -2.428592205, 0.4505937099,
    0.0259040371, 0.7827717662, -0.808675766], cones);
}

function contrast(one, other) {
  const [less, more] = [one, other].map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05).sort((a, b) => a - b);
  return more / less;
}

// The command line and plain HTTP.

let demo = await startDemo();
const { port } = demo;

await check("what it says at the start has a line for each transport and the memory", () => {
  for (const line of [`curl http://127.0.0.1:${port}/poll`, `curl 'http://127.0.0.1:${port}/wait'`,
    `curl -N http://127.0.0.1:${port}/events`, `ws://127.0.0.1:${port}/ws`,
    `curl -d hello http://127.0.0.1:${port}/publish`, "KiB"]) {
    assert(demo.said.includes(line), line);
  }
});

await check("a wrong argument ends with 2, a busy port with 1, help with 0", () => {
  const run = (...args) => spawnSync(binary, args, { encoding: "utf8", timeout: PATIENCE });
  for (const args of [["--port"], ["--port", "x"], ["--port", "65536"], ["--bind", "here"], ["--colour"]]) {
    const { status, stderr } = run(...args);
    assert.equal(status, 2, args.join(" "));
    assert(stderr.includes(`'${args.at(-1)}`) && stderr.includes(`'${args[0]}`), stderr);
    // With a wrong value clap leaves the usage to `--help`.
    assert(stderr.includes(args[0] === "--colour" ? "Usage: demo [OPTIONS]" : "try '--help'"), stderr);
  }
  const inVariable = (PORT, ...args) => spawnSync(binary, args, { encoding: "utf8", timeout: PATIENCE, env: { ...process.env, PORT } });
  assert.equal(inVariable("x").status, 2);
  assert.match(inVariable("x").stderr, /'x' for '--port <PORT>'/);
  assert.equal(inVariable(String(port)).status, 1);
  assert.equal(inVariable("x", "--port", String(port)).status, 1, "the argument wins");
  const busy = run("--port", String(port));
  assert.equal(busy.status, 1);
  assert(busy.stderr.includes(`127.0.0.1:${port}`) && busy.stderr.includes("--port"), busy.stderr);
  assert.doesNotMatch(busy.stderr, /panicked/);
  const help = run("--help");
  assert.deepEqual([help.status, help.stderr], [0, ""]);
  assert.match(help.stdout, /^Usage: demo \[OPTIONS\][^]*--port <PORT> [^]*env: PORT=[^]*--bind <BIND>/);
});

await check("wrong methods, wrong paths and HEAD are answered as they should be", async () => {
  for (const [method, path, status, allow] of [
    ["PUT", "/", 405, "GET, HEAD"], ["DELETE", "/poll", 405, "GET, HEAD"], ["POST", "/wait", 405, "GET, HEAD"],
    ["POST", "/events", 405, "GET, HEAD"], ["POST", "/ws", 405, "GET"], ["GET", "/publish", 405, "POST"],
    ["GET", "/nothing", 404, undefined], ["GET", "/ws", 426, undefined],
    ["GET", "/burst", 405, "POST"], ["PUT", "/cut", 405, "POST"], ["GET", "/restart", 405, "POST"],
    ["PUT", "/countdown", 405, "POST"], ["GET", "/countdown/x", 404, undefined], ["PUT", "/countdown/x", 405, "GET, HEAD"],
    ["POST", "/stats", 405, "GET, HEAD"], ["POST", "/page.js", 405, "GET, HEAD"], ["GET", "/demo.rs", 404, undefined],
    ["POST", "/cut", 400, undefined], ["POST", "/cut?transport=all", 400, undefined],
    ["GET", "/stats?after=yesterday", 400, undefined], ["HEAD", "/stats", 200, undefined],
    ["HEAD", "/", 200, undefined], ["HEAD", "/poll", 200, undefined], ["HEAD", "/events", 200, undefined],
  ]) {
    const answer = await request(port, method, path);
    assert.deepEqual([answer.status, answer.headers.allow], [status, allow], `${method} ${path}`);
    if (method === "HEAD") assert.equal(answer.text, "");
  }
});

// The page.

let page;
let lines = [];

await check("the page opens and each pane connects", async () => {
  page = await open(port);
  await connected(page);
  assert.equal(await page.evaluate(() => document.visibilityState), "visible");
  await shows(page, []);
});

await check("a line from the box is in all four panes, by Enter and by the button", async () => {
  await write(page, "by Enter");
  await outcome(page, /^Published as \d+-1\.$/);
  await box(page).fill("by the button");
  await page.getByRole("button", { name: "Publish" }).click();
  lines = ["by Enter", "by the button"];
  await shows(page, lines);
  await agree(page);
  assert.equal(await box(page).inputValue(), "");
});

await check("an empty line is refused without a request", async () => {
  const before = published.length;
  for (const text of ["", "   "]) {
    await write(page, text);
    await outcome(page, "Write something first.");
  }
  assert.equal(published.length, before);
});

await check("what is too large is refused with the reason, and stays in the box", async () => {
  browser.tolerated = /status of 413/;
  const long = "x".repeat(20_000);
  await write(page, long);
  await outcome(page, "too large");
  assert.equal(await box(page).inputValue(), long);
  await box(page).fill("");
  browser.tolerated = null;
});

await check("a plain POST is in all four panes, as text and not as markup", async () => {
  const odd = [`<img src="//elsewhere.invalid/x" onerror="throw 1"> & </script>`, "two\nlines", "grüße \u{1f389}", " "];
  for (const text of odd) await publish(port, text);
  lines.push(...odd);
  await shows(page, lines);
  assert.equal(await page.locator("li img").count(), 0);
});

await check("of many lines none is lost, none twice, and their order is kept", async () => {
  for (let n = 1; n <= 40; n++) {
    await publish(port, `line ${n}`);
    lines.push(`line ${n}`);
  }
  await shows(page, lines);
  await agree(page);
});

await check("a reload shows the same lines", async () => {
  await page.reload();
  await connected(page);
  await shows(page, lines);
  assert.deepEqual(await gaps(page), [[], [], [], []]);
});

await check("it can be used by keyboard, and names what is reached", async () => {
  await box(page).focus();
  const reached = [];
  for (let n = 0; n < 14; n++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => {
      const at = document.activeElement, [label] = at.labels ?? [];
      const named = document.getElementById(at.getAttribute("aria-labelledby")) ?? label ?? at;
      return at.ariaLabel ?? named.textContent;
    }));
  }
  assert.deepEqual(reached, ["Publish", "Off", "Burst of 1,000", "Restart the hub", "Count down",
    ...PANES.flatMap(name => [name, `Cut ${name}`]), "How this is measured"]);
  await page.keyboard.press("Enter");
  await page.getByText("Latency is the time from").waitFor();
  await page.keyboard.press("Enter");
});

await check("each message is spoken once, not by every pane", async () => {
  // What came before is said, or it would be said together with that.
  await until(async () => assert(await page.evaluate(() => saying === null && unsaid.length === 0)));
  await publish(port, "say this");
  lines.push("say this");
  await shows(page, lines);
  const spoken = page.getByRole("status").filter({ hasText: "say this" });
  await spoken.waitFor({ state: "attached" });
  assert.equal(await spoken.textContent(), "say this");
  assert.equal(await spoken.getAttribute("aria-live"), "polite");
});

await check("it fits a phone, and follows light and dark", async () => {
  await fitsInAnyState(page);
});

await check("the newest line stays in sight when a phone is turned, unless the reader has scrolled away", async () => {
  const list = pane(page, "WebSocket").locator("ol");
  await follows(page, list, async () => {
    lines.push(`line ${lines.length}`);
    await publish(port, lines.at(-1));
    await list.locator("li").last().filter({ hasText: lines.at(-1) }).waitFor();
  });
  await page.setViewportSize({ width: 1280, height: 800 });
  await shows(page, lines);
});

await check("a pane keeps 200 lines at most", async () => {
  await page.evaluate(() => {
    for (let n = 1; n <= 250; n++) panes[0].message({ id: `1-${n}`, data: `made up ${n}` });
  });
  assert.equal(await pane(page, "Short poll").locator("li").count(), 200);
  await page.reload();
  await shows(page, lines);
});

await check("connections that are cut come back with no line lost, none twice, and no gap", async () => {
  const proxy = await startProxy(port);
  const far = await open(proxy.port);
  await connected(far);
  for (let round = 1; round <= 2; round++) {
    browser.tolerated = DOWN;
    proxy.sever();
    await lost(far);
    for (let n = 1; n <= 5; n++) {
      await publish(port, `cut ${round}, line ${n}`);
      lines.push(`cut ${round}, line ${n}`);
    }
    proxy.cut = false;
    await shows(far, lines);
    await connected(far);
    browser.tolerated = null;
  }
  assert.deepEqual(await gaps(far), [[], [], [], []]);
  await far.close();
  await page.bringToFront();
  await shows(page, lines);
});

await check("after a kill and a restart each pane shows the gap and goes on", async () => {
  await connected(page);
  browser.tolerated = DOWN;
  assert.equal((await end(demo, "SIGKILL")).by, "SIGKILL");
  await lost(page);
  await write(page, "into the void");
  await outcome(page, "Not published: the server does not answer.");
  assert.equal(await box(page).inputValue(), "into the void");
  await box(page).fill("");
  demo = await startDemo(port);
  await publish(port, "after the restart");
  await shows(page, [...lines, "gap", "after the restart"]);
  await connected(page);
  browser.tolerated = null;
  assert.deepEqual(await gaps(page), [["gap"], ["gap"], ["gap"], ["gap"]]);
  await agree(page);
  await write(page, "and on");
  await shows(page, [...lines, "gap", "after the restart", "and on"]);
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  await check(`${signal} ends it with 0 and a last word to each client`, async () => {
    await connected(page);
    await held(port);
    await noteStates(page);
    // A stream or a poll that was cut would say so here. What is asked anew just then may find its connection closed.
    browser.tolerated = /net::ERR_(CONNECTION_REFUSED|SOCKET_NOT_CONNECTED)/;
    const poll = page.waitForResponse(answer => answer.url().includes("/wait") && answer.headers()["tidings-reason"] === "shutdown");
    const over = await end(demo, signal);
    assert.deepEqual([over.code, over.by], [0, null]);
    await poll;
    await hasShown(page, 3, /^reconnecting: shutdown$/m);
    demo = await startDemo(port);
    await connected(page);
    browser.tolerated = null;
  });
}

await check("of ten tabs the one that is looked at has the connections", async () => {
  await page.close();
  await publish(port, "before the tabs");
  lines = ["before the tabs"];
  const tabs = [];
  for (let n = 1; n <= 10; n++) {
    tabs.push(await open(port));
    await connected(tabs.at(-1));
    await shows(tabs.at(-1), lines);
    await write(tabs.at(-1), `from tab ${n}`);
    await outcome(tabs.at(-1), "Published");
    lines.push(`from tab ${n}`);
  }
  await shows(tabs.at(-1), lines);
  for (const at of [tabs[0], tabs[4], tabs[9]]) {
    await at.bringToFront();
    await connected(at);
    await shows(at, lines);
    assert.deepEqual(await gaps(at), [[], [], [], []]);
    for (const other of tabs.filter(tab => tab !== at)) {
      await until(async () => assert.deepEqual(new Set(await states(other)), new Set(["paused"])));
      assert.equal(await other.evaluate(() => document.visibilityState), "hidden");
    }
    // From the last tab, which may be one that nobody looks at.
    const status = await tabs[9].evaluate(async () => (await fetch("/publish", { method: "POST", body: "to whoever looks" })).status);
    assert.equal(status, 200);
    lines.push("to whoever looks");
    await shows(at, lines);
  }
});

// The buttons, each on a log of its own.

await check("tabs that are closed give their connections back", async () => {
  await Promise.all(browser.context.pages().map(tab => tab.close()));
  await until(async () => assert.equal((await stats(port)).ws.open, 0));
});

const button = name => page.getByRole("button", { name, exact: true });
const shown = (name, figure) => pane(page, name).locator(`[data-of=${figure}]`).textContent();

/** Waits until the page has asked the server for its figures so many times, which it does once a second. */
async function beats(page, count) {
  for (let n = 0; n < count; n++) await page.waitForResponse(answer => answer.url().includes("/stats"));
}

demo = await startDemo();
page = await open(demo.port);
await connected(page);

await check("a steady rate publishes so many a second, until it is off", async () => {
  // The clock starts first: some are published before the click is known to be done.
  const before = published.length, start = performance.now();
  await page.locator("#rate").getByText("20", { exact: true }).click();
  await until(() => assert(published.length >= before + 40));
  const rate = 1000 * (published.length - before) / (performance.now() - start);
  assert(rate < 24, `${rate} per second`);
  await page.locator("#rate").getByText("Off").click();
  await beats(page, 1);
  const after = published.length;
  await beats(page, 2);
  assert.equal(published.length, after);
  await agree(page);
  assert.match(await pane(page, "WebSocket").locator("li .data").last().textContent(), /^\d\d:\d\d:\d\d\.\d$/);
});

await check("it is chosen by keyboard as well, and rests while nobody looks", async () => {
  await button("Publish").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  const before = published.length;
  await until(() => assert(published.length > before));
  const other = await open(demo.port);
  await until(async () => assert.deepEqual(new Set(await states(page)), new Set(["paused"])));
  const [after, drawn] = [published.length, await page.evaluate(() => charts[0].until)];
  await beats(other, 3);
  assert.equal(published.length, after);
  assert.equal(await page.evaluate(() => charts[0].until), drawn);
  await other.close();
  await page.bringToFront();
  await until(() => assert(published.length > after));
  await page.locator("#rate").getByText("Off").click();
  await connected(page);
});

await check("a burst reaches whole who listens, and who asks too seldom is told a gap", async () => {
  // At once, or the first might be over.
  const two = await Promise.all([1, 2].map(() => request(demo.port, "POST", "/burst")));
  assert.deepEqual(two.map(({ status }) => status).toSorted(), [200, 409]);
  await page.reload();
  await connected(page);
  await agree(page);
  // However long the burst takes, the short poll does not ask meanwhile.
  let [asked, go] = [0, null];
  const over = new Promise(done => (go = done));
  await page.route("**/poll", async route => {
    asked += 1;
    await over;
    await route.continue();
  });
  await until(() => assert(asked > 0));
  await page.evaluate(() => {
    globalThis.got = { poll: [], wait: [], sse: [], ws: [] };
    const { message } = Pane.prototype;
    Pane.prototype.message = function (said) {
      got[this.key].push(said.data);
      message.call(this, said);
    };
  });
  await button("Burst of 1,000").click();
  await outcome(page, "The history keeps the last 128");
  go();
  await agree(page);
  await page.unrouteAll({ behavior: "wait" });
  const got = await page.evaluate(() => got);
  const all = Array.from({ length: 1000 }, (_, n) => `${n + 1}/1000`);
  assert.deepEqual(got.sse, all);
  assert.deepEqual(got.ws, all);
  assert(got.poll.length >= 128 && got.poll.length < 1000, `${got.poll.length}`);
  assert.match(await pane(page, "Short poll").locator(".gaps:visible").textContent(), /^gap/);
  assert.deepEqual(await pane(page, "WebSocket").locator(".gaps:visible").allTextContents(), []);
  const told = page.locator("#server [data-of=gaps]");
  await until(async () => assert.equal(Number(await told.textContent()), (await stats(demo.port)).gaps));
});

await check("each transport that is cut comes back alone, by itself, with nothing lost", async () => {
  // What an EventSource or WebSocket says of a 503, and of its end.
  browser.tolerated = /status of 503|response code: 503|ERR_INCOMPLETE_CHUNKED_ENCODING/;
  for (const [n, name] of PANES.entries()) {
    await page.reload();
    await connected(page);
    await publish(demo.port, `before the cut of ${name}`);
    await agree(page);
    await holdTime(page);
    await noteStates(page);
    await button(`Cut ${name}`).click();
    await outcome(page, `${name} is cut off for 3 seconds.`);
    await hasShown(page, n, /^reconnecting/m);
    for (const word of ["one", "two", "three"]) await publish(demo.port, `${word} without ${name}`);
    await pane(page, PANES[(n + 1) % 4]).getByText(`three without ${name}`).waitFor();
    await connected(page);
    await agree(page);
    const linesOf = name => pane(page, name).locator("li").allTextContents();
    assert.deepEqual(await linesOf(name), await linesOf(PANES[(n + 1) % 4]));
    assert.deepEqual(await gaps(page), [[], [], [], []]);
    await until(async () => {
      // A long poll that is slow to be refused looks like one that is held, so it may seem to be back more than once.
      const back = name === "Long poll" ? /^[1-9]\d*$/ : /^1$/;
      for (const [m, name] of PANES.entries()) assert.match(await shown(name, "reconnects"), m === n ? back : /^0$/, name);
    });
  }
  browser.tolerated = null;
});

await check("a long poll that is answered early asks again when Retry-After says so", async () => {
  await page.reload();
  await connected(page);
  const asked = []; // when
  await page.route("**/wait*", async route => {
    asked.push(performance.now());
    // The second time the answer is the server's own.
    if (asked.length > 1) return route.continue();
    const next = (await stats(demo.port)).last;
    const headers = { "Content-Type": "application/json", "Tidings-Reason": "shutdown", "Retry-After": "3" };
    await route.fulfill({ headers, body: JSON.stringify({ messages: [], next, gap: false }) });
  });
  await noteStates(page);
  // Ends the poll that is held.
  await publish(demo.port, "and then wait");
  await hasShown(page, 1, /^reconnecting: shutdown$/m);
  await until(() => assert(asked.length > 1));
  assert(asked[1] - asked[0] >= 3000, `after ${asked[1] - asked[0]} ms`);
  await connected(page);
  await page.unrouteAll({ behavior: "wait" });
});

await check("after a restart of the hub each pane shows the gap, and ids of a new epoch", async () => {
  const last = () => page.locator(".cursor").first().textContent();
  const before = await last();
  await button("Restart the hub").click();
  await outcome(page, "A new log");
  await until(async () => assert.deepEqual(await gaps(page), [["gap"], ["gap"], ["gap"], ["gap"]]));
  await write(page, "in the new log");
  await outcome(page, /-1\.$/);
  await agree(page);
  const after = await last();
  assert(BigInt(after.split("-")[0]) > BigInt(before.split("-")[0]), `${before} ${after}`);
  // Two epochs may be nearer to each other than a `Number` can tell.
  assert(await page.evaluate(([after, before]) => !isUpTo(parseId(after), parseId(before)), [after, before]));
});

await check("a topic that ends is counted down, its stream closes by itself, and a page that was away goes on", async () => {
  // Each number that was shown.
  await page.evaluate(() => {
    globalThis.counted = [];
    new MutationObserver(() => counted.push(byId("number").textContent)).observe(byId("number"), { childList: true });
  });
  const followed = page.waitForRequest(asked => asked.url().includes("/countdown/"));
  await button("Count down").click();
  const name = new URL((await followed).url()).pathname;
  await until(async () => assert((await page.evaluate(() => counted)).length > 1));
  const other = await browser.context.newPage();
  await other.bringToFront();
  await until(async () => assert.equal(await page.evaluate(() => countdown.source), null));
  await other.close();
  await page.bringToFront();
  await outcome(page, "The topic has ended");
  const all = Array.from({ length: 10 }, (_, n) => String(10 - n));
  assert.deepEqual(await page.evaluate(() => counted), [...all, "ended"]);
  assert.deepEqual(await page.evaluate(() => [countdown.name, countdown.source]), [null, null]);
  await connected(page);
  // Who comes late gets all of it and the end, however much was published since; an EventSource that nothing closes is
  // told to stay away.
  for (let n = 1; n <= 15; n++) await publish(demo.port, "x".repeat(10_000));
  const got = await page.evaluate(name => new Promise(done => {
    const got = [], source = new EventSource(`${name}?after=earliest`);
    source.onmessage = event => got.push(event.data);
    source.addEventListener("done", event => got.push(JSON.parse(event.data).reason));
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) done(got); };
  }), name);
  assert.deepEqual(got, [...all, "finished"]);
  const late = JSON.parse((await request(demo.port, "GET", `${name}?wait=1&after=earliest`)).text);
  assert.equal(late.done, true);
  assert.deepEqual(late.messages.map(message => message.data ?? message.reason).slice(0, 10), all);
});

await check("a page of another site can't press them", async () => {
  const last = (await stats(demo.port)).last;
  const foreign = [{ Origin: "http://elsewhere.invalid" }, { Origin: "null" }, { "Sec-Fetch-Site": "cross-site" }];
  for (const headers of foreign) {
    for (const path of ["/burst", "/restart", "/countdown", "/cut?transport=ws"]) {
      assert.equal((await request(demo.port, "POST", path, "", headers)).status, 403, path);
    }
  }
  const proxy = await startProxy(demo.port), other = await open(proxy.port);
  browser.tolerated = /status of (403|404)/; // the page that says so has no icon
  await other.evaluate(port => {
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: `http://127.0.0.1:${port}/restart` });
    document.body.append(form);
    form.submit();
  }, demo.port);
  await other.getByText("only for this server's own page").waitFor();
  await other.close();
  browser.tolerated = null;
  await page.bringToFront();
  assert.equal((await stats(demo.port)).last, last);
});

// The figures and the charts, on a server that knows this page only, through a proxy that counts.

await page.close();
demo = await startDemo();
const proxy = await startProxy(demo.port);
page = await open(proxy.port);

/** How many messages each pane has noted the latency of, also a minute ago. */
const timed = () => page.evaluate(() => panes.map(({ figures }) => figures.noted));
const pixels = () => page.locator("canvas").evaluateAll(all => all.map(canvas => canvas.toDataURL()));

await check("a message by WebSocket takes less time than by short poll", async () => {
  await connected(page);
  await beats(page, 1);
  await page.evaluate(() => {
    const { latency } = Figures.prototype;
    Figures.prototype.latency = function (...noted) {
      this.noted = (this.noted ?? 0) + 1;
      latency.apply(this, noted);
    };
  });
  for (let n = 1; n <= 30; n++) {
    await publish(demo.port, `timed ${n}`);
    await new Promise(done => setTimeout(done, 80));
  }
  await until(async () => assert.deepEqual(await timed(), [30, 30, 30, 30]));
  const [poll, wait, sse, ws] = await page.evaluate(() => panes.map(({ figures }) => figures.percentiles(50, 99)));
  for (const [p50, p99] of [poll, wait, sse, ws]) assert(p50 >= 0 && p50 <= p99, `${p50} ${p99}`);
  assert(ws[0] < poll[0] && sse[0] < poll[0] && wait[0] < poll[0], `${[poll, wait, sse, ws]}`);
  // As exactly as the clocks are known to agree.
  const error = await page.evaluate(() => stopwatch.clock.error);
  assert(poll[0] > 300 - error, `${poll}, give or take ${error}`);
  for (const name of PANES) await until(async () => assert.match(await shown(name, "p50"), /^[\d.]+ m?s$/));
});

await check("latency is counted from the publish, not from the page's start or the end of a pause", async () => {
  const other = await open(demo.port);
  await until(async () => assert.deepEqual(new Set(await states(page)), new Set(["paused"])));
  await publish(demo.port, "while nobody looks");
  await pane(other, "WebSocket").getByText("while nobody looks").waitFor();
  await other.close();
  await page.bringToFront();
  await connected(page);
  await agree(page);
  await beats(page, 2);
  await publish(demo.port, "while somebody looks");
  await agree(page);
  await until(async () => assert.deepEqual(await timed(), [31, 31, 31, 31]));
});

await check("a message is timed also where the server says late when it was published", async () => {
  let [held, go] = [0, null];
  const late = new Promise(done => (go = done));
  await page.route("**/stats*", async route => {
    const response = await route.fetch();
    held += 1;
    await late;
    await route.fulfill({ response });
  });
  await until(() => assert(held > 0));
  await holdTime(page);
  await publish(demo.port, "behind the figures");
  await agree(page);
  await page.evaluate(() => { time += 60_000; });
  go();
  await until(async () => assert.deepEqual(await timed(), [32, 32, 32, 32]));
  await page.unrouteAll({ behavior: "wait" });
});

await check("it counts the requests that the server sees, and the bytes that the proxy sees", async () => {
  // The other tab was there as well.
  await page.close();
  demo = await startDemo();
  const proxy = await startProxy(demo.port);
  page = await open(proxy.port);
  const start = performance.now();
  await holdTime(page);
  // As many as fit into one piece of an answer: how many pieces a larger one has is nothing that a page is told.
  for (let n = 1; n <= 10; n++) await publish(demo.port, `counted ${n}, ${"grüße ".repeat(n % 4)}`);
  await until(async () => {
    const server = await stats(demo.port);
    const sums = await page.evaluate(() => panes.map(({ key, cursor, figures }) =>
      ({ key, cursor, requests: figures.sum("requests"), up: figures.sum("up"), down: figures.sum("down") })));
    // Of heartbeats a page is not told either. They take 9 bytes at most, and come less often than this.
    const beaten = 9 * Math.floor((performance.now() - start) / 10_000);
    for (const { key, cursor, requests, up, down } of sums) {
      const line = proxy.bytes[{ poll: "/poll", wait: "/wait", sse: "/events", ws: "/ws" }[key]];
      assert.equal(cursor, server.last);
      assert.equal(requests, server[key].requests, key);
      const isPoll = key === "poll" || key === "wait";
      for (const [counted, real] of [[up, line.up], [down, line.down]]) {
        const most = isPoll ? 0 : 0.04 * real + beaten;
        assert(Math.abs(counted - real) <= most, `${key}: ${counted} for ${real}`);
      }
    }
  });
});

await check("the server's figures are those of the server", async () => {
  await until(async () => {
    const server = await stats(demo.port), of = name => page.locator(`#server [data-of=${name}]`).textContent();
    assert.equal(await of("messages"), `${server.messages[0]} of 128`);
    assert.match(await of("held"), /^1 long poll · 1 SSE · 1 WebSocket · \d idle$/);
    assert.deepEqual([server.wait.open, server.sse.open, server.ws.open], [1, 1, 1]);
    assert.match(await of("memory"), /^[\d.]+ MiB$/);
    assert.deepEqual([await of("each"), await of("divided")], ["–", "from 100 connections on"]);
  });
});

await check("the memory per connection is shown once it says something of connections", async () => {
  const of = name => page.locator(`#server [data-of=${name}]`).textContent();
  // At one moment, since the crowd may be turned away.
  const all = () => page.locator("#server").evaluate(server => Object.fromEntries(["connections", "each", "divided"]
    .map(name => [name, server.querySelector(`[data-of=${name}]`).textContent])));
  const crowd = Array.from({ length: 110 }, () => net.connect(demo.port, "127.0.0.1"));
  for (const one of crowd) one.on("error", () => {}).write("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  await until(async () => {
    const { connections, each, divided } = await all();
    assert(Number(connections) > 110, connections);
    assert.match(each, /^[\d.]+ KiB$/);
    assert(parseFloat(each) < 20, each);
    assert.match(divided, /^all of that growth/);
  });
  for (const one of crowd) one.destroy();
  await until(async () => assert.equal(await of("each"), "–"));
});

await check("five charts are drawn, anew once a second, and in words as well", async () => {
  // In one evaluation: what is in it can't change meanwhile.
  const { before, blank, colours } = await page.locator("canvas").evaluateAll(all => ({
    before: all.map(canvas => canvas.toDataURL()),
    blank: all.map(({ width, height }) => Object.assign(document.createElement("canvas"), { width, height }).toDataURL()),
    colours: all.map(canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }),
  }));
  assert.equal(before.length, 5);
  before.forEach((picture, n) => assert.notEqual(picture, blank[n]));
  assert(colours.every(count => count > 20), `${colours}`);
  const start = performance.now();
  await page.evaluate(() => {
    globalThis.drawn = 0;
    const { begin } = Chart.prototype;
    Chart.prototype.begin = function (labels) { drawn += 1; begin.call(this, labels); };
  });
  await publish(demo.port, "for the charts");
  // The page's own time still stands still. After a minute of it a chart may look as before: a line from end to end.
  await page.evaluate(() => { time += 5000; });
  await until(async () => (await pixels()).forEach((picture, n) => assert.notEqual(picture, before[n], `chart ${n}`)));
  await until(async () => assert(await page.evaluate(() => drawn) >= 15));
  const drawn = await page.evaluate(() => drawn), most = 5 * (1 + (performance.now() - start) / 500);
  assert(drawn <= most, `${drawn} of ${most}`);
  await until(async () => assert.match(await page.locator("#latency").getAttribute("aria-label"),
    /^Latency of .*Short poll: [\d.]+ m?s, Long poll: [\d.]+ m?s, Server-Sent Events: .* WebSocket: [\d.]+ m?s$/));
});

await check("the charts are as large as their place, and sharp, whatever they were before", async () => {
  const session = await browser.context.newCDPSession(page);
  const screen = async (width, deviceScaleFactor) => {
    const metrics = { width, height: 900, deviceScaleFactor, mobile: false };
    await session.send("Emulation.setDeviceMetricsOverride", metrics);
    return until(async () => {
      assert.equal(await page.evaluate(() => innerWidth), width);
      const sizes = await page.locator("canvas").evaluateAll(all => all.map(({ clientWidth, clientHeight, width, height }) =>
        ({ shown: [clientWidth, clientHeight], drawn: [width, height] })));
      for (const { shown, drawn } of sizes) assert.deepEqual(drawn, shown.map(pixels => deviceScaleFactor * pixels));
      return sizes;
    });
  };
  const before = await screen(1280, 1);
  await screen(375, 1);
  const after = await screen(1280, 2);
  assert.deepEqual(after.map(({ shown }) => shown), before.map(({ shown }) => shown));
  await session.send("Emulation.clearDeviceMetricsOverride");
});

await check("no word of a chart is cut off, however wide it is", async () => {
  for (const width of [320, 800, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    await until(async () => assert.equal(await page.evaluate(() => innerWidth), width));
    await page.evaluate(() => {
      globalThis.outside = [];
      globalThis.written = 0;
      CanvasRenderingContext2D.prototype.fillText = function (text, x) {
        const { actualBoundingBoxLeft, actualBoundingBoxRight } = this.measureText(text);
        if (x < actualBoundingBoxLeft || x + actualBoundingBoxRight > this.canvas.clientWidth) outside.push(text);
        written += 1;
      };
    });
    await until(async () => assert(await page.evaluate(() => written) > 20));
    assert.deepEqual(await page.evaluate(() => outside), [], `${width} wide`);
  }
});

await check("the four colours differ for people with any kind of colour-blindness, in light and dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const [pane, ...four] = (await page.evaluate(() => ["pane", "poll", "wait", "sse", "ws"].map(styleOf))).map(linear);
    for (const colour of four) assert(contrast(colour, pane) >= 3, `${colorScheme}: contrast ${contrast(colour, pane)}`);
    for (const [kind, matrix] of Object.entries(SIGHT)) {
      const seen = four.map(colour => perceived(matrix, colour));
      for (const [n, one] of seen.entries()) {
        for (const other of seen.slice(n + 1)) {
          const distance = Math.hypot(...one.map((part, m) => part - other[m]));
          assert(distance > 0.1, `${colorScheme}, ${kind}: ${distance}`);
        }
      }
    }
  }
  await page.emulateMedia({ colorScheme: null });
});

// The Chinese page.

await check("the browser's language decides, and ?lang= above it", async () => {
  await page.close();
  demo = await startDemo();
  page = await open(demo.port);
  const session = await browser.context.newCDPSession(page);
  const userAgent = await page.evaluate(() => navigator.userAgent);
  await session.send("Network.setUserAgentOverride", { userAgent, acceptLanguage: "zh-CN" });
  const heading = page.getByRole("heading", { level: 1 });
  const pages = [["", "zh-CN", "一份日志"], ["?lang=en", "en", "one log"], ["?lang=zh", "zh-CN", "一份日志"]];
  for (const [query, lang, text] of pages) {
    await page.goto(`http://127.0.0.1:${demo.port}/${query}`);
    assert.equal(await page.evaluate(() => document.documentElement.lang), lang);
    await heading.filter({ hasText: text }).waitFor();
  }
  await page.getByRole("link", { name: "English" }).click();
  await heading.filter({ hasText: "one log" }).waitFor();
  await page.getByRole("link", { name: "中文" }).click();
  await heading.filter({ hasText: "一份日志" }).waitFor();
});

const NAMES = /tidings|WebSocket|Server-Sent Events|SSE|HTTP\/1\.1|HTTP|TCP|p50|p99|\d (KiB|MiB|kB|B|ms|s)\b|English/g;

/** The words in a text that are English, but for names and units. */
const english = text => text.replace(NAMES, "").match(/[A-Za-z]+/g) ?? [];

/** All that a page says, shown or not. */
const words = page => page.evaluate(() => {
  const attributes = [...document.querySelectorAll("*")]
    .flatMap(({ placeholder, ariaLabel, dataset }) => [placeholder, ariaLabel, dataset.empty]);
  return [document.title, document.body.innerText, ...attributes].filter(Boolean).join("\n");
});

const connectedInChinese = page => until(async () => assert.deepEqual(
  [...await states(page, CHINESE_PANES), await serverState(page)], ["已连接", "等待中", "已连接", "已连接", "there"]));

await check("the Chinese page says nothing in English, whatever happens", async () => {
  await page.evaluate(() => {
    globalThis.written = new Set();
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
      written.add(text);
      fillText.call(this, text, ...at);
    };
  });
  await connectedInChinese(page);
  await page.locator("summary").click();
  assert.deepEqual(english(await words(page)), []);
  browser.tolerated = new RegExp(`status of (413|503)|response code: 503|${DOWN.source}`);
  const said = page.locator("#outcome"), text = page.locator("#text");
  const enter = what => text.fill(what).then(() => text.press("Enter"));
  for (const act of [
    () => enter(""),
    () => enter("一"),
    () => enter("x".repeat(20_000)),
    () => page.locator("#burst").click(),
    () => page.locator("#restart").click(),
    () => page.locator("#Socket .cut").click(),
    // To its end: it is not known any more when the server is another.
    () => page.locator("#count").click().then(() => page.locator("#number").filter({ hasText: "已结束" }).waitFor()),
    () => end(demo, "SIGTERM").then(() => page.locator("#burst").click()),
  ]) {
    const before = await said.textContent();
    await act();
    await until(async () => assert.notEqual(await said.textContent(), before));
    await text.fill("");
    assert.deepEqual(english(await words(page)), []);
  }
  await until(async () => assert((await states(page, CHINESE_PANES)).every(state => state.startsWith("重连中"))));
  await until(async () => assert.equal(await serverState(page), "away"));
  assert.deepEqual(english(await words(page)), []);
  const written = await page.evaluate(() => [...written].join("\n"));
  assert.match(written, /一分钟前/);
  assert.deepEqual(english(written), []);
  demo = await startDemo(demo.port);
  await connectedInChinese(page);
  browser.tolerated = null;
});

await check("the Chinese page fits a phone as well", () => fitsInAnyState(page));

await check("what the scripts say has a translation, and no translation is left over", async () => {
  const folder = `${ROOT}examples/pages/demo/`;
  const sources = readdirSync(folder).filter(name => name !== "words.js")
    .map(name => readFileSync(folder + name, "utf8").replace(/\s+/g, " "));
  const [known, explained] = await page.evaluate(() => [Object.keys(CHINESE), Object.values(EXPLAIN)]);
  const elsewhere = [...explained, "shutdown", "closed", "full", "a burst is under way",
    "the message is too large for the history"];
  const unused = known.filter(text => !elsewhere.includes(text) && !sources.some(source => source.includes(text)));
  assert.deepEqual(unused, []);
  const saying = sources.flatMap(source => [...source.matchAll(/\bsay\( ?"([^"]+)"/g)].map(([, text]) => text));
  assert(saying.length > 20);
  assert.deepEqual([...saying, ...explained].filter(text => !known.includes(text)), []);
});

// The README's picture.

if (process.env.PICTURE) {
  await check("the picture is taken", async () => {
    await page.close();
    demo = await startDemo();
    page = await open(demo.port);
    await page.setViewportSize({ width: 1280, height: 1000 });
    await page.evaluate(() => { document.documentElement.style.scrollbarWidth = "none"; });
    browser.tolerated = /response code: 503/;
    await connected(page);
    await page.locator("#rate").getByText("5", { exact: true }).click();
    await beats(page, 22);
    await button("Restart the hub").click();
    await beats(page, 18);
    await button("Cut WebSocket").click();
    await beats(page, 30);
    browser.tolerated = null;
    await page.mouse.move(0, 0);
    const height = await page.locator("details").evaluate(details => details.getBoundingClientRect().top + scrollY);
    await page.screenshot({ path: process.env.PICTURE, fullPage: true, clip: { x: 0, y: 0, width: 1280, height } });
  });
}

await check("the README shows the page's picture, which is not too large", () => {
  const [, path] = /!\[[^\]]+\]\(([^)]+\.png)\)/.exec(readFileSync(`${ROOT}README.md`, "utf8"));
  assert(statSync(ROOT + path).size < 300_000);
  const picture = readFileSync(ROOT + path);
  assert.equal(picture.toString("latin1", 1, 4), "PNG");
  assert(picture.readUInt32BE(16) >= 1200, "wide enough to be read");
});

await check("nothing was asked of another host", () => assert.deepEqual(browser.elsewhere, []));
await check("the console said nothing else", () => assert.deepEqual(browser.errors, []));

report();
