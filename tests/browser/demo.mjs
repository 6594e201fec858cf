// What a person sees of examples/demo.rs in Chromium.
//
//     cargo build --release --example demo
//     npm ci --prefix tests/browser
//     node tests/browser/demo.mjs target/release/examples

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { DOWN, PATIENCE, check, end, example, report, request, startBrowser, startProgram, startProxy, until } from "./harness.mjs";

const PANES = ["Short poll", "Long poll", "Server-Sent Events", "WebSocket"];

const binary = example("demo");
const startDemo = (port = 0) => startProgram(binary, ["--port", String(port)], /Ctrl-C/);

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
const states = page => Promise.all(PANES.map(name => pane(page, name).locator(".state").textContent()));
const gaps = page => Promise.all(PANES.map(name => pane(page, name).locator(".gaps:visible").allTextContents()));

const CONNECTED = ["open", "waiting", "open", "open"];
const connected = page => until(async () => assert.deepEqual(await states(page), CONNECTED));

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

/** All panes have the same last id. */
const agree = page => until(async () => {
  const ids = await page.locator(".cursor").allTextContents();
  assert.equal(new Set(ids).size, 1, ids.join(" "));
  assert.match(ids[0], /^\d+-\d+$/);
});

const box = page => page.getByLabel("Publish a message");
const outcome = (page, text) => page.locator("#outcome").filter({ hasText: text }).waitFor();

async function write(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
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
    assert(stderr.includes(args[0]) && stderr.includes("usage:"), stderr);
  }
  const busy = run("--port", String(port));
  assert.equal(busy.status, 1);
  assert(busy.stderr.includes(`127.0.0.1:${port}`) && busy.stderr.includes("--port"), busy.stderr);
  assert.doesNotMatch(busy.stderr, /panicked/);
  const help = run("--help");
  assert.deepEqual([help.status, help.stderr], [0, ""]);
});

await check("wrong methods, wrong paths and HEAD are answered as they should be", async () => {
  for (const [method, path, status, allow] of [
    ["PUT", "/", 405, "GET, HEAD"], ["DELETE", "/poll", 405, "GET, HEAD"], ["POST", "/wait", 405, "GET, HEAD"],
    ["POST", "/events", 405, "GET, HEAD"], ["POST", "/ws", 405, "GET"], ["GET", "/publish", 405, "POST"],
    ["GET", "/nothing", 404, undefined], ["GET", "/ws", 426, undefined],
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
  for (let n = 0; n < 5; n++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => {
      const at = document.activeElement;
      return document.getElementById(at.getAttribute("aria-labelledby"))?.textContent ?? at.textContent;
    }));
  }
  assert.deepEqual(reached, ["Publish", ...PANES]);
});

await check("each message is spoken once, not by every pane", async () => {
  await publish(port, "say this");
  lines.push("say this");
  await shows(page, lines);
  const spoken = page.getByRole("status").filter({ hasText: "say this" });
  await spoken.waitFor({ state: "attached" });
  assert.equal(await spoken.textContent(), "say this");
  assert.equal(await spoken.getAttribute("aria-live"), "polite");
});

await check("it fits a phone, and follows light and dark", async () => {
  const colours = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [320, 390, 800, 1400]) {
      await page.setViewportSize({ width, height: 800 });
      assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} wide`);
    }
    colours.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  assert.notEqual(colours[0], colours[1]);
  await page.emulateMedia({ colorScheme: null });
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
    await until(async () => assert((await states(far)).every(state => state === "reconnecting")));
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
  await until(async () => assert((await states(page)).every(state => state === "reconnecting")));
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
    // Longer than the state is there to be seen.
    await page.evaluate(() => {
      globalThis.seen = [];
      new MutationObserver(() => seen.push(document.querySelector("#Socket .state").textContent))
        .observe(document.querySelector("#Socket .state"), { childList: true });
    });
    // A stream or a poll that was cut would say so here.
    browser.tolerated = /net::ERR_CONNECTION_REFUSED/;
    const poll = page.waitForResponse(answer => answer.url().includes("/wait"));
    const over = await end(demo, signal);
    assert.deepEqual([over.code, over.by], [0, null]);
    assert(over.ms < 2000, `${over.ms} ms`);
    assert.equal((await poll).headers()["tidings-reason"], "shutdown");
    await until(async () => assert((await page.evaluate(() => seen)).includes("reconnecting: shutdown")));
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
    await publish(port, "to whoever looks");
    lines.push("to whoever looks");
    await shows(at, lines);
  }
});

await check("nothing was asked of another host", () => assert.deepEqual(browser.elsewhere, []));
await check("the console said nothing else", () => assert.deepEqual(browser.errors, []));

report();
