// What a person sees of examples/ai_stream.rs and examples/embed.rs in Chromium.
//
//     cargo build --release --examples
//     npm ci --prefix tests/browser
//     node tests/browser/stream.mjs target/release/examples

import assert from "node:assert/strict";
import { DOWN, check, end, example, fits, report, request, startBrowser, startProgram, until } from "./harness.mjs";

const start = (name, every, port = 0) => startProgram(example(name), ["--port", String(port), "--every", String(every)]);

// What ai_stream says, as the page is to show it: the elements and their texts.
const SHOWN = [
  ["h3", "Piece by piece"],
  ["p", "A model's answer streams: 一个字一个字地写 👩‍🚀🇨🇳."],
  ["ol", "The server sends a piece as soon as it has one.|The page types it out, like this."],
  ["pre", "source.onmessage = show;"],
  ["ul", "Pieces end anywhere, also between 你 and 好.|A model may say <img src=x onerror=\"alert(1)\"> or "
    + "[that](javascript:alert(1)) too.\nSo put in text, never HTML."],
];
const LINK = "https://developer.mozilla.org/docs/Web/API/Node/textContent";
const ELEMENTS = ["a", "code", "em", "h3", "li", "ol", "p", "pre", "strong", "ul"];

const browser = await startBrowser();
const asked = []; // method and path of each request
browser.context.on("request", request => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
const dialogs = [];
async function open(port, hash = "") {
  const page = await browser.open(`http://127.0.0.1:${port}/${hash}`);
  page.on("dialog", dialog => (dialogs.push(dialog.message()), dialog.dismiss()));
  return page;
}

const newest = page => page.locator("article").first();
const state = (page, text) => newest(page).locator(".state", { hasText: text }).waitFor();
const text = page => newest(page).locator(".answer").evaluate(answer => answer.textContent);
const button = (page, name) => page.getByRole("button", { name, exact: true });
const box = page => page.getByLabel("Ask something");

/** The elements of the newest answer and their texts, the items of a list with a bar between. */
const shown = page => newest(page).locator(".answer").evaluate(answer => [...answer.children].map(block => [
  block.localName,
  block.localName.endsWith("l") ? [...block.children].map(item => item.textContent).join("|") : block.textContent,
]));

/** Nothing in the newest answer is more than text, but for these elements. */
async function isSafe(page, links) {
  const found = await newest(page).locator(".answer *").evaluateAll(all => all.map(element => [
    element.localName, element.getAttributeNames().filter(name => !["href", "rel", "target"].includes(name)),
    element.getAttribute("href"),
  ]));
  for (const [name, attributes] of found) {
    assert(ELEMENTS.includes(name), name);
    assert.deepEqual(attributes, [], name);
  }
  assert.deepEqual(found.map(([, , href]) => href).filter(href => href !== null), links);
  assert.deepEqual(dialogs, []);
}

// ai_stream.

let fast = await start("ai_stream", 0);
let page;

await check("an asked question is answered, and the typewriter ends with the right text", async () => {
  page = await open(fast.port);
  await box(page).fill("Why?");
  await box(page).press("Enter");
  await state(page, "done");
  assert.deepEqual(await shown(page), [["p", "You ask: Why?"], ...SHOWN]);
  assert.equal(await newest(page).getByRole("heading", { level: 2 }).textContent(), "Why?");
  assert.equal(await newest(page).getAttribute("aria-busy"), "false");
  assert.equal(await box(page).inputValue(), "");
  await isSafe(page, [LINK]);
});

await check("the played stream ends with the same text, and is closed", async () => {
  await page.evaluate(() => {
    globalThis.sources = [];
    globalThis.EventSource = class extends EventSource {
      constructor(url) { sources.push(super(url)); }
    };
  });
  await button(page, "Play /sse").click();
  await state(page, "done");
  assert.deepEqual(await shown(page), SHOWN);
  await isSafe(page, [LINK]);
  assert.deepEqual(await page.evaluate(() => sources.map(source => source.readyState)), [2]);
  assert(await button(page, "Stop").isDisabled());
});

await check("who wants less motion has each piece at once", async () => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await button(page, "Play /sse").click();
  await state(page, "done");
  assert.deepEqual(await shown(page), SHOWN);
});

await check("a hostile question is text, and its links go nowhere", async () => {
  for (const hostile of [
    "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "</p></main><iframe srcdoc='<script>alert(1)</script>'>",
    "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](data:text/html,<script>alert(1)</script>)",
    "[x](\u0001javascript:alert(1))", "[x](vbscript:x)", "[x](file:///etc/passwd)", "[x](/chat)", "[x](//elsewhere.invalid/)",
    "**<b onclick=alert(1)>**", "`<u>`", "*<s>*", "&lt;img src=x onerror=alert(1)&gt;",
  ]) {
    await box(page).fill(hostile);
    await box(page).press("Enter");
    await state(page, "done");
    const plain = hostile.replace(/^(\*\*|`|\*)(.*)\1$/, "$2");
    assert.deepEqual((await shown(page))[0], ["p", `You ask: ${plain}`]);
    await isSafe(page, [LINK]);
  }
  await newest(page).locator(".answer").getByText("[that](javascript").click();
  await isSafe(page, [LINK]);
});

await check("a link is http or https, opens elsewhere and tells nothing; an image is not asked for", async () => {
  for (const [question, href] of [
    ["[a](http://elsewhere.invalid/x?y=1&z=(2))", "http://elsewhere.invalid/x?y=1&z=(2)"],
    [`[b](https://elsewhere.invalid/"onclick="alert(1))`, "https://elsewhere.invalid/%22onclick=%22alert(1)"],
    ["![c](https://elsewhere.invalid/c.png)", "https://elsewhere.invalid/c.png"],
  ]) {
    await box(page).fill(question);
    await box(page).press("Enter");
    await state(page, "done");
    await isSafe(page, [href, LINK]);
    const link = newest(page).getByRole("link").first();
    assert.deepEqual([await link.getAttribute("rel"), await link.getAttribute("target")], ["noopener noreferrer", "_blank"]);
  }
});

await check("the page's own policy refuses HTML from text", async () => {
  browser.tolerated = /TrustedHTML|Content Security Policy|trusted-types/i;
  const refused = await page.evaluate(() => {
    try { document.createElement("div").innerHTML = "<b>"; return "taken"; } catch (error) { return error.name; }
  });
  assert.equal(refused, "TypeError");
  browser.tolerated = null;
});

await check("text that would take a careless pattern long does not", async () => {
  for (const many of ["[", "*", "**", "`", "[a](", "[a](((", "**a"]) {
    const took = await page.evaluate(text => {
      const start = performance.now();
      inline(text);
      return performance.now() - start;
    }, many.repeat(160_000 / many.length));
    // Some milliseconds; with a time that grows as the square of the length it is minutes.
    assert(took < 20_000, `${many}: ${took} ms`);
  }
});

await check("an answer is cut at any place, and ends the same", async () => {
  const whole = "a **b** `c`\n```\n<d>\n```\n1. e\n2. *f*\n\n- g\n- [h](https://h.invalid/)\n# i\nj\n";
  const looks = await page.evaluate(whole => [1, 2, 3, 5, 7, whole.length].map(length => {
    const answer = new Answer("cut");
    for (let at = 0; at < whole.length; at += length) {
      answer.text = whole.slice(0, at + length);
      answer.show();
    }
    return answer.body.innerHTML;
  }), whole);
  assert.equal(new Set(looks).size, 1, looks.join("\n"));
  assert.equal(looks[0], "<p>a <strong>b</strong> <code>c</code></p><pre><code>&lt;d&gt;</code></pre>"
    + "<ol><li>e</li><li><em>f</em></li></ol><ul><li>g</li><li><a href=\"https://h.invalid/\" "
    + "rel=\"noopener noreferrer\" target=\"_blank\">h</a></li></ul><h3>i</h3><p>j</p>");
  await page.reload();
});

await check("what the server refuses is shown with its reason", async () => {
  browser.tolerated = /status of 400/;
  await page.evaluate(() => ask("  "));
  await state(page, "the body is to be");
  browser.tolerated = null;
});

await check("at most 20 answers stay", async () => {
  await page.evaluate(() => { for (let n = 0; n < 30; n++) new Answer(`made up ${n}`); });
  assert.equal(await page.locator("article").count(), 20);
  await page.reload();
});

await page.emulateMedia({ reducedMotion: null });

// The tutorials' own clients, word for word.

/** What the tutorials' reader gathers from /chat. */
const READER = async url => {
  let text = "";
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ content: "Hello" }),
  });
  const reader = response.body.getReader();
  const decoder = new TextDecoder("utf-8");
  while (true) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value);
  }
  return text;
};

await check("a tutorial's fetch with getReader reads the answer, from another origin too", async () => {
  const here = await page.evaluate(READER, "/chat");
  assert(here.startsWith("You ask: Hello\n\n# Piece by piece\n\nA model"), here);
  assert(here.endsWith(").\n"), here);
  // A page of another origin without a policy of its own.
  const other = await startProgram(example("threads"), ["--port", "0", "--threads", "1"]);
  browser.tolerated = /status of 404/; // it has no icon
  const elsewhere = await open(other.port);
  const from = asked.length;
  assert.equal(await elsewhere.evaluate(READER, `http://127.0.0.1:${fast.port}/chat`), here);
  assert(asked.slice(from).includes("POST /chat"), asked.slice(from).join(" "));
  await elsewhere.close();
  browser.tolerated = null;
  await end(other, "SIGKILL");
});

await check("a tutorial's EventSource has the text once, comes back once, and is told to stay away", async () => {
  await page.bringToFront();
  const before = asked.filter(what => what === "GET /sse").length;
  await page.evaluate(() => {
    globalThis.gathered = "";
    const eventSource = (globalThis.eventSource = new EventSource("/sse"));
    eventSource.onmessage = event => {
      gathered += JSON.parse(event.data);
    };
    eventSource.onerror = () => {
      globalThis.failed = true;
    };
  });
  await until(async () => assert.equal(await page.evaluate(() => eventSource.readyState), 2));
  const gathered = await page.evaluate(() => gathered);
  assert(gathered.startsWith("# Piece by piece\n\nA model") && gathered.endsWith(").\n"), gathered);
  assert.equal(gathered.split("Piece by piece").length, 2);
  assert.equal(asked.filter(what => what === "GET /sse").length, before + 2);
});

// Streams that take their time: one ends in some seconds, the other not before it is stopped.

const slow = await start("ai_stream", 0.5);
const endless = await start("ai_stream", 36_000);
let slowPage;

await check("the text grows while it is written", async () => {
  const growing = await open(slow.port);
  // Each look that it has had, since it may be over before anybody asks.
  await growing.evaluate(() => {
    globalThis.looks = [];
    new MutationObserver(() => {
      const { textContent: state } = document.querySelector(".state");
      looks.push({ state, busy: byId("answers").firstElementChild.ariaBusy, length: document.querySelector(".answer").textContent.length });
    }).observe(byId("answers"), { childList: true, subtree: true });
  });
  await button(growing, "Ask").click();
  await state(growing, "done");
  const writing = (await growing.evaluate(() => looks)).filter(({ state }) => state === "writing");
  assert(writing.every(({ busy }) => busy === "true"));
  // While it writes the question; later it becomes shorter at times, when a mark is found to be one.
  const lengths = [...new Set(writing.map(({ length }) => length))].slice(0, 6);
  assert.equal(lengths.length, 6, lengths.join(" "));
  assert.deepEqual(lengths, lengths.toSorted((one, other) => one - other));
  await growing.close();
});

/** Where the newest answer is on the server. */
const nameOf = page => page.evaluate(() => location.hash.slice(1));

/** Asks, and waits until the answer is there in part: what was asked. */
async function askFor(page, question) {
  await box(page).fill(question);
  await box(page).press("Enter");
  await until(async () => assert((await text(page)).startsWith(`You ask: ${question}`)));
}

await check("the stop button stops it, by keyboard, for whoever else reads it too", async () => {
  slowPage = await open(endless.port);
  await askFor(slowPage, "Why");
  await state(slowPage, "writing");
  const name = await nameOf(slowPage);
  const other = request(endless.port, "GET", name);
  await button(slowPage, "Stop").focus();
  await slowPage.keyboard.press("Space");
  await state(slowPage, "stopped");
  const frozen = await text(slowPage);
  assert(frozen.startsWith("You ask: Why"), frozen);
  assert.match((await other).text, /\nevent: done\n[^]*"stopped"/);
  assert.equal(await text(slowPage), frozen);
  assert.equal(await slowPage.evaluate(() => document.activeElement.id), "text");
});

await check("a new question stops the one before, and a stopped stream does not come back", async () => {
  await button(slowPage, "Play /sse").click();
  await state(slowPage, "writing");
  await box(slowPage).fill("Another?");
  await box(slowPage).press("Enter");
  await state(slowPage, "writing");
  await until(async () =>
    assert.deepEqual(await slowPage.locator("article .state").allTextContents(), ["writing", "stopped", "stopped"]));
  // It is among them when it is over.
  await until(async () => assert.equal(await slowPage.evaluate(() => performance.getEntriesByType("resource")
    .filter(entry => entry.name.endsWith("/sse")).length), 1));
});

await check("what one tab stops is stopped in the other, also where `fetch` reads it", async () => {
  await askFor(slowPage, "And again?");
  const second = await open(endless.port, `#${await nameOf(slowPage)}`);
  await state(second, "writing");
  await button(second, "Stop").click();
  await state(second, "stopped");
  await second.close();
  await slowPage.bringToFront();
  await state(slowPage, "stopped");
  await slowPage.close();
});

await check("a page that is reloaded in the middle, and a second tab, go on where the answer is", async () => {
  slowPage = await open(slow.port);
  await askFor(slowPage, "Once more?");
  const whole = [["p", "You ask: Once more?"], ...SHOWN];
  await until(async () => assert((await shown(slowPage)).length > 1));
  await slowPage.reload();
  await until(async () => assert((await text(slowPage)).startsWith("You ask: Once more?")));
  const name = await nameOf(slowPage);
  const second = await open(slow.port, `#${name}`);
  await state(second, "done");
  assert.deepEqual(await shown(second), whole);
  await slowPage.bringToFront();
  await state(slowPage, "done");
  assert.deepEqual(await shown(slowPage), whole);
  assert.equal(await slowPage.evaluate(() => running), null);
  // And so when it is whole.
  await slowPage.reload();
  await state(slowPage, "done");
  assert.deepEqual(await shown(slowPage), whole);
  await second.close();
});

await check("an answer goes on without the page that has asked", async () => {
  await askFor(slowPage, "Whoever?");
  const name = await nameOf(slowPage);
  await slowPage.close();
  assert.match((await request(slow.port, "GET", name)).text, /\nevent: done\n[^]*"finished"/);
});

await check("an EventSource without a handler for the end has the answer once, comes back once, and stops by itself", async () => {
  const { headers } = await request(fast.port, "POST", "/chat", '{"content":"Why?"}');
  await page.bringToFront();
  const before = asked.filter(what => what === `GET ${headers.location}`).length;
  await page.evaluate(name => {
    globalThis.gathered = "";
    globalThis.naive = new EventSource(name);
    naive.onmessage = event => { gathered += event.data; };
  }, headers.location);
  await until(async () => assert.equal(await page.evaluate(() => naive.readyState), 2));
  const gathered = await page.evaluate(() => gathered);
  assert(gathered.startsWith("You ask: Why?\n\n# Piece by piece\n\nA model") && gathered.endsWith(".\n"), gathered);
  assert.equal(gathered.split("You ask").length, 2);
  assert.equal(asked.filter(what => what === `GET ${headers.location}`).length, before + 2);
});

await check("an answer that is not there, in the address or after a restart, is said to be unknown", async () => {
  browser.tolerated = /status of 404/;
  const unknown = await open(fast.port, "#/chat/0123456789abcdef");
  await state(unknown, "the server does not know this answer any more");
  for (const hash of ["#//elsewhere.invalid/", "#/sse", "#/chat/../sse", "#javascript:alert(1)"]) {
    await unknown.evaluate(hash => new Promise(done => {
      addEventListener("hashchange", done, { once: true });
      location.hash = hash;
    }), hash);
  }
  assert.equal(await unknown.locator("article").count(), 1);
  await unknown.close();
  browser.tolerated = null;
});

await check("a played stream that is cut off goes on after a restart, with nothing lost and nothing twice", async () => {
  await end(fast, "SIGKILL");
  // It does not end before it is cut off.
  fast = await start("ai_stream", 36_000, fast.port);
  await page.bringToFront();
  await button(page, "Play /sse").click();
  await until(async () => assert((await shown(page)).length > 1));
  browser.tolerated = DOWN;
  await end(fast, "SIGKILL");
  await state(page, "reconnecting");
  fast = await start("ai_stream", 0.2, fast.port);
  await state(page, "done");
  browser.tolerated = null;
  assert.deepEqual(await shown(page), SHOWN);
});

await check("an answer that is lost with the server says so, and so does a server that is not there", async () => {
  await end(fast, "SIGKILL");
  fast = await start("ai_stream", 36_000, fast.port);
  await button(page, "Ask").click();
  await until(async () => assert((await text(page)).startsWith("You ask")));
  browser.tolerated = new RegExp(`${DOWN.source}|status of 404`);
  await end(fast, "SIGKILL");
  await state(page, "reconnecting");
  assert((await text(page)).startsWith("You ask"));
  fast = await start("ai_stream", 0, fast.port);
  await state(page, "the server does not know this answer any more");
  await end(fast, "SIGKILL");
  await button(page, "Ask").click();
  await state(page, "the server does not answer");
  assert.equal(await newest(page).getAttribute("class"), "bad");
  browser.tolerated = null;
  fast = await start("ai_stream", 0, fast.port);
});

await check("it fits a phone, also with a long word, and follows light and dark", async () => {
  await box(page).fill(`${"long".repeat(100)} \`${"code".repeat(90)}\``);
  await box(page).press("Enter");
  await state(page, "done");
  await fits(page);
});

await check("it can be used by keyboard, and names what is reached", async () => {
  await box(page).focus();
  const reached = [];
  for (let n = 0; n < 3; n++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.textContent));
  }
  assert.deepEqual(reached, ["Ask", "Play /sse", "never HTML"]);
  await page.close();
});

// embed.

let device = await start("embed", 0.05);
let gauges;
const meters = () => gauges.getByRole("meter");
const value = async name => Number(await gauges.getByRole("meter", { name }).getAttribute("aria-valuenow"));
const live = name => until(async () => assert.equal(await gauges.locator(".state").textContent(), name));

/** The readings go on. */
async function goesOn() {
  const seen = new Set();
  await until(async () => assert(seen.add(await value("Sun")).size > 2));
}

await check("each sensor has a gauge, which shows what was read", async () => {
  gauges = await open(device.port);
  await live("live");
  await until(async () => assert.equal(await meters().count(), 4));
  const names = await gauges.getByRole("heading", { level: 2 }).allTextContents();
  assert.deepEqual(names.toSorted(), ["Clients", "Fan", "Sun", "Temperature"]);
  await goesOn();
  await until(async () => assert.equal(await value("Clients"), 1));
  const temperature = await gauges.getByRole("meter", { name: "Temperature" }).textContent();
  assert.match(temperature, /^\d+(\.\d)? °C$/);
});

await check("the gauges fit a phone, and follow light and dark", async () => {
  await fits(gauges);
  await gauges.setViewportSize({ width: 900, height: 700 });
});

await check("the device may be killed and started again", async () => {
  browser.tolerated = DOWN;
  await end(device, "SIGKILL");
  await live("reconnecting");
  device = await start("embed", 0.05, device.port);
  await live("live");
  browser.tolerated = null;
  await goesOn();
  assert.equal(await meters().count(), 4);
});

await check("a device that has no room is asked again later", async () => {
  await gauges.route("**/events*", route => route.fulfill({ status: 503 }));
  browser.tolerated = /status of 503/;
  await gauges.evaluate(() => { disconnect(); look(); });
  await live("reconnecting");
  await until(async () => assert.equal(await gauges.evaluate(() => source.readyState), 2));
  await gauges.unroute("**/events*");
  await live("live");
  browser.tolerated = null;
  await goesOn();
});

await check("a tab that nobody looks at has no connection, and goes on when it is looked at", async () => {
  const other = await browser.context.newPage();
  await other.goto("about:blank");
  await other.bringToFront();
  await live("paused");
  await gauges.bringToFront();
  await live("live");
  await goesOn();
  await other.close();
});

await check("nothing was asked of another host", () => assert.deepEqual(browser.elsewhere, []));
await check("no dialog came up", () => assert.deepEqual(dialogs, []));
await check("the console said nothing else", () => assert.deepEqual(browser.errors, []));

report();
