// What a person sees of the examples that the tutorials teach (short_poll, long_poll, events, ticks) in Chromium, and
// the clients as the tutorials print them.
//
//     cargo build --release --examples
//     npm ci --prefix tests/browser
//     node tests/browser/tutorials.mjs target/release/examples

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { DOWN, check, end, example, fits, follows, report, request, startBrowser, startProgram, startProxy, until } from "./harness.mjs";

const browser = await startBrowser();
const asked = []; // the requests of all pages
browser.context.on("request", one => asked.push(one));

const start = (name, ...args) => startProgram(example(name), ["--port", "0", ...args]);
const again = (name, port, ...args) => startProgram(example(name), ["--port", String(port), ...args]);
const open = ({ port }, path = "/") => browser.open(`http://127.0.0.1:${port}${path}`);
const update = ({ port }, data) => request(port, "POST", "/update", JSON.stringify({ data }), { "Content-Type": "application/json" });

const lines = (page, list = "#list") => page.locator(`${list} li`).allTextContents();
/** The lines that were posted, without those of the clock. */
const posted = lines => lines.filter(line => !/^New message at /.test(line));
const shows = (page, wanted, list) => until(async () => assert.deepEqual(posted(await lines(page, list)), wanted));
const state = (page, wanted) => until(async () => assert.equal(await page.locator("#state").textContent(), wanted));
const text = (page, id) => page.locator(`#${id}`).textContent();

async function write(page, line) {
  await page.getByRole("textbox").fill(line);
  await page.getByRole("textbox").press("Enter");
}

/** Kills a program, and has its page say so; returns another on the same port. */
async function restart(program, page, said, name, ...args) {
  browser.tolerated = DOWN;
  assert.equal((await end(program, "SIGKILL")).by, "SIGKILL");
  await state(page, said);
  return again(name, program.port, ...args);
}

/** Runs a script in a page, as if it stood there; what it logs is in `said`. */
async function script(page, content) {
  const said = [];
  page.on("console", message => { if (message.type() === "log") said.push(message.text()); });
  await page.addScriptTag({ content });
  return said;
}

// The pages.

await check("short_poll: the page shows the time, the status and each update, and most answers are 304", async () => {
  let program = await start("short_poll", "--every", "3");
  const page = await open(program);
  await state(page, "open");
  assert.match(await text(page, "time"), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  await until(async () => assert.match(await text(page, "update"), /^Update [1-9]/));
  await until(async () => assert.match(await text(page, "status"), /^(processing|completed)$/));
  const first = await text(page, "time");
  await until(async () => assert.notEqual(await text(page, "time"), first));
  await until(async () => assert(Number(await text(page, "changed")) >= 2));

  program = await restart(program, page, "the server does not answer", "short_poll", "--every", "600");
  await state(page, "open");
  await until(async () => assert.equal(await text(page, "update"), "Update 0"));
  // From here on nothing is new, however seldom it asks.
  await until(async () => assert(Number(await text(page, "same")) > Number(await text(page, "changed"))));
  browser.tolerated = null;
  await page.close();
  await end(program, "SIGKILL");
});

await check("long_poll: the page shows the value, every message, and the texts", async () => {
  let program = await start("long_poll", "--every", "2");
  const page = await open(program);
  await until(async () => assert.match((await lines(page, "#texts")).join(), /^New message at \d{4}-.*,New message at /));
  assert.equal(await text(page, "value"), "–");
  // The clock's texts are messages too, also while nobody has posted a value.
  await until(async () => assert((await lines(page, "#messages")).length >= 2));
  assert.equal(await text(page, "value"), "–");
  await write(page, "by Enter");
  await until(async () => assert.equal(await text(page, "outcome"), "Data updated successfully"));
  await shows(page, ["by Enter"], "#messages");
  await until(async () => assert.equal(await text(page, "value"), "by Enter"));
  const odd = [`<img src="//elsewhere.invalid/x" onerror="throw 1">`, { a: [1, null] }, 0, false, "two\nlines", ""];
  for (const data of odd) await update(program, data);
  const wanted = ["by Enter", ...odd.map(data => typeof data === "string" ? data : JSON.stringify(data))];
  await shows(page, wanted, "#messages");
  assert.equal(await page.locator("li img").count(), 0);

  // Of two tabs each has every message, also what came while the other was looked at.
  const other = await open(program);
  await shows(other, wanted, "#messages");
  await write(other, "from the other tab");
  wanted.push("from the other tab");
  await shows(other, wanted, "#messages");
  await page.bringToFront();
  await shows(page, wanted, "#messages");
  await other.close();
  for (let n = 1; n <= 40; n++) wanted.push((await update(program, `line ${n}`), `line ${n}`));
  await shows(page, wanted, "#messages");

  program = await restart(program, page, "the server does not answer", "long_poll", "--every", "2");
  await update(program, "after the restart");
  await shows(page, [...wanted, "gap: messages may be missing here", "after the restart"], "#messages");
  await state(page, "open");
  browser.tolerated = null;
  await write(page, "and on");
  await shows(page, [...wanted, "gap: messages may be missing here", "after the restart", "and on"], "#messages");
  await page.close();
  await end(program, "SIGKILL");
});

await check("events: what one sends reaches all pages", async () => {
  let program = await start("events");
  const page = await open(program);
  await shows(page, ["Connected"]);
  const other = await open(program);
  await shows(other, ["Connected"]);
  await write(other, "<b>hello</b>");
  await until(async () => assert.equal(await text(other, "outcome"), "Data sent successfully"));
  const wanted = ["Connected", `{"data":"<b>hello</b>"}`];
  for (let n = 1; n <= 40; n++) wanted.push((await update(program, n), `{"data":${n}}`));
  await shows(other, wanted);
  // The one that nobody looked at goes on where it was.
  await state(page, "paused");
  await page.bringToFront();
  wanted.splice(1, 0, "Connected");
  await shows(page, wanted);
  await other.close();

  program = await restart(program, page, "reconnecting", "events");
  await update(program, "after the restart");
  wanted.push("Connected", "gap: messages may be missing here", `{"data":"after the restart"}`);
  await shows(page, wanted);
  await state(page, "open");
  browser.tolerated = null;
  await page.close();
  await end(program, "SIGKILL");
});

await check("events, ticks: of more tabs than a browser has connections each works when it is looked at", async () => {
  const [events, ticks] = [await start("events"), await start("ticks", "--every", "1")];
  const tabs = [];
  for (let n = 1; n <= 8; n++) {
    tabs.push(await open(events));
    await state(tabs.at(-1), "open");
    const page = await open(ticks);
    await until(async () => assert((await lines(page)).length > 0));
    if (n < 8) continue;
    // What came meanwhile is not missing.
    const last = (await lines(page)).at(-1);
    await tabs[0].bringToFront();
    await state(page, "paused");
    await page.bringToFront();
    await until(async () => assert((await lines(page)).length > 3));
    assert((await lines(page)).includes(last) && !(await lines(page)).some(line => line.startsWith("gap")));
  }
  await update(events, "to all");
  for (const tab of [tabs[0], tabs[7]]) {
    await tab.bringToFront();
    await until(async () => assert.deepEqual((await lines(tab)).filter(line => line !== "Connected"), [`{"data":"to all"}`]));
  }
  for (const page of browser.context.pages()) await page.close();
  for (const program of [events, ticks]) await end(program, "SIGKILL");
});

await check("the newest line stays in sight when a phone is turned, unless the reader has scrolled away", async () => {
  for (const [name, list, ...args] of [["events", "#list"], ["long_poll", "#messages", "--every", "600"]]) {
    const program = await start(name, ...args);
    const page = await open(program);
    let count = 0;
    await follows(page, page.locator(list), async () => {
      count += 1;
      await update(program, `line ${count}, which is long enough for more than one line on a phone that is held upright`);
      await page.locator(`${list} li`).last().filter({ hasText: `line ${count},` }).waitFor();
    });
    await page.close();
    await end(program, "SIGKILL");
  }
});

await check("events, long_poll: after connections that were cut no message is missing, none comes twice", async () => {
  for (const [name, list, ...args] of [["events", "#list"], ["long_poll", "#messages", "--every", "600"]]) {
    const program = await start(name, ...args);
    const proxy = await startProxy(program.port);
    const page = await open(proxy);
    await state(page, name === "events" ? "open" : "asking");
    const wanted = [];
    const shown = async () => (await lines(page, list)).filter(line => line !== "Connected");
    for (let round = 1; round <= 2; round++) {
      browser.tolerated = DOWN;
      proxy.sever();
      await state(page, name === "events" ? "reconnecting" : "the server does not answer");
      for (let n = 1; n <= 5; n++) {
        await update(program, `cut ${round}, line ${n}`);
        wanted.push(name === "events" ? `{"data":"cut ${round}, line ${n}"}` : `cut ${round}, line ${n}`);
      }
      proxy.cut = false;
      await until(async () => assert.deepEqual(await shown(), wanted));
      await state(page, "open");
      browser.tolerated = null;
    }
    await page.close();
    await end(program, "SIGKILL");
  }
});

await check("ticks: the page shows them, as JSON and as text, and goes on after a restart", async () => {
  for (const args of [["--every", "0.3"], ["--every", "0.3", "--text"]]) {
    let program = await start("ticks", ...args);
    const page = await open(program);
    const goOn = after => until(async () => {
      const all = await lines(page), since = all.slice(after ? all.lastIndexOf(after) + 1 : 0);
      assert(!after || all.includes(after));
      assert(since.length > 2);
      for (const line of since) assert.match(line, /^New message at \d{4}-\d\d-\d\dT[\d:.]+Z$/);
    });
    await goOn();
    program = await restart(program, page, "reconnecting", "ticks", ...args);
    await goOn("gap: ticks may be missing here");
    await state(page, "open");
    browser.tolerated = null;
    await page.close();
    await end(program, "SIGKILL");
  }
});

await check("ticks: after `close` the page does not come back, where a page without that handler does", async () => {
  const program = await start("ticks", "--every", "0.05", "--stop-after", "1");
  const naive = await open(program);
  // As most tutorials have it, nothing closes it.
  await script(naive, "source.close(); new EventSource('/events').onmessage = event => console.log(event.data);");
  const page = await open(program);
  const of = which => asked.filter(one => one.frame().page() === which && one.url().includes("/events")).length;
  await state(page, "closed by the server");
  const before = await lines(page);
  assert(before.length > 0);
  // The other one comes back twice, after `retry`, so there was time enough; its first request was the page's own.
  await until(() => assert(of(naive) >= 4, `${of(naive)} requests`));
  assert.equal(of(page), 1);
  assert.deepEqual(await lines(page), before);
  assert.equal(await page.evaluate(() => source.readyState), 2);
  // Nor when it was not looked at for a while.
  await naive.bringToFront();
  await until(async () => assert(await page.evaluate(() => document.hidden)));
  await page.bringToFront();
  await state(page, "closed by the server");
  assert.equal(of(page), 1);
  await page.close();
  await naive.close();
  await end(program, "SIGKILL");
});

await check("the pages fit a phone, follow light and dark, and can be used by keyboard", async () => {
  for (const name of ["short_poll", "long_poll", "events", "ticks"]) {
    const program = await start(name);
    const page = await open(program);
    await fits(page);
    if (await page.getByRole("textbox").count() > 0) {
      await page.getByRole("textbox").focus();
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Send");
    }
    await page.close();
    await end(program, "SIGKILL");
  }
});

// The clients of the tutorials, in a page of the same server.

await check("snippet: new EventSource with onmessage", async () => {
  const program = await start("events");
  const page = await open(program);
  const said = await script(page, `
    const eventSource = new EventSource('/events');
    eventSource.onmessage = function (event) {
      console.log('Received:', event.data);
    };
    eventSource.onerror = function (error) {
      console.error('EventSource failed:', error);
    };`);
  await until(() => assert.deepEqual(said, ["Received: Connected"]));
  const sent = await script(page, `
    fetch('/update', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ data: 'hello' })
    })
      .then(response => response.json())
      .then(result => console.log(result.message));`);
  await until(() => assert(sent.includes("Data sent successfully") && said.includes(`Received: {"data":"hello"}`)));
  await page.close();
  await end(program, "SIGKILL");
});

await check("snippet: a recursive fetch long poll, which loses nothing though it sends no cursor", async () => {
  const program = await start("long_poll", "--every", "1");
  const page = await open(program);
  let newest;
  const send = line => update(program, newest = line);
  for (const path of ["/poll", "/api/long-poll"]) {
    await page.reload();
    const said = await script(page, `
      async function longPoll() {
        try {
          const response = await fetch('${path}');
          const data = await response.json();
          console.log('New data:', data.message);
          longPoll();
        } catch (error) {
          console.error('Long polling error:', error);
          setTimeout(longPoll, 1000);
        }
      }
      longPoll();`);
    // It begins with whatever comes when it waits, if only from the clock; from then on it has each message, in order.
    await until(() => assert(said.length > 0));
    const wanted = Array.from({ length: 40 }, (_, m) => `${path} more ${m}`);
    for (const line of wanted) await send(line);
    const heard = () => said.filter(line => !line.startsWith("New data: New message at "));
    await until(() => assert.deepEqual(heard().slice(-40), wanted.map(line => `New data: ${line}`)));
    assert.equal(new Set(said).size, said.length, "none twice");
  }
  // Nobody posts any more, and it hears of something nonetheless.
  for (const path of ["/poll", "/api/long-poll"]) {
    const alone = await script(page, `
      fetch('${path}')
        .then(response => response.json())
        .then(data => console.log('${path} says:', data.message));`);
    await until(() => assert(alone.some(line => line.startsWith(`${path} says: New message at `))));
  }
  const texts = await script(page, `
    function poll() {
      fetch('/long-poll')
        .then(response => response.text())
        .then(message => { console.log(message); poll(); });
    }
    poll();`);
  await until(() => assert(texts.filter(line => /^New message at /.test(line)).length >= 2));
  const values = await script(page, `
    fetch('/data')
      .then(response => response.json())
      .then(data => console.log('Data:', data.data));`);
  await until(() => assert(values.includes(`Data: ${newest}`)));
  await page.close();
  await end(program, "SIGKILL");
});

await check("snippet: setInterval with fetch, which the browser's cache turns into 304s on the wire", async () => {
  const program = await start("short_poll", "--every", "1");
  const proxy = await startCounter(program.port);
  browser.tolerated = /status of 404/; // /favicon.ico, as this is no page
  const page = await open(proxy, "/time");
  const said = await script(page, `
    setInterval(async () => {
      const response = await fetch('/update');
      const data = await response.json();
      console.log('Update:', data.message);
    }, 200);
    setInterval(() => {
      fetch('/api/status')
        .then(res => res.json())
        .then(data => console.log('Status:', data.status));
    }, 200);`);
  await until(() => assert(new Set(said.filter(line => /^Update: Update \d+$/.test(line))).size >= 3, said.join()));
  await until(() => assert(["pending", "processing", "completed"].every(status => said.includes(`Status: ${status}`)), said.join()));
  await until(() => assert(proxy.said.filter(line => line.startsWith("HTTP/1.1 304")).length > 3, proxy.said.join()));
  browser.tolerated = null;
  await page.close();
  await end(program, "SIGKILL");
});

await check("snippet: fetch with getReader", async () => {
  const program = await start("ticks", "--every", "0.05", "--stop-after", "1");
  const page = await open(program);
  const said = await script(page, `
    async function readStream() {
      const response = await fetch('/events');
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      while (true) {
        const { done, value } = await reader.read();
        if (done) break;
        console.log(decoder.decode(value, { stream: true }));
      }
      console.log('Stream complete');
    }
    readStream();`);
  await until(() => assert(said.includes("Stream complete")));
  assert(said.some(piece => /data: \{"time":"[^"]+","timestamp":\d+,"message":"New message at /.test(piece)), said.join());
  assert.match(said.join(""), /event: close\ndata: \{\}\n\nStream complete$/);
  await page.close();
  await end(program, "SIGKILL");
});

// The same from a server of their own, as Vite's.

/** A way to a server that keeps the status lines that come. */
async function startCounter(to) {
  const counter = { said: [] };
  const server = net.createServer(client => {
    const back = net.connect(to, "127.0.0.1");
    client.pipe(back).pipe(client);
    back.on("data", piece => counter.said.push(...(String(piece).match(/^HTTP\/1\.1 .*/gm) ?? [])));
    for (const socket of [client, back]) socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  counter.port = server.address().port;
  return counter;
}

await check("from another origin: EventSource, JSON by POST, ETags, a long poll with a cursor", async () => {
  const site = http.createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<link rel=icon href=data:>")).listen(0, "127.0.0.1");
  await once(site, "listening");
  const page = await open(site.address());
  const events = await start("events");
  const proxy = await startProxy(events.port);
  const heard = await script(page, `
    const eventSource = new EventSource('http://127.0.0.1:${proxy.port}/events');
    eventSource.onmessage = event => console.log('event', event.data);
    const send = data => fetch('http://127.0.0.1:${events.port}/update', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ data })
    });`);
  await until(() => assert.deepEqual(heard, ["event Connected"]));
  assert.deepEqual(await page.evaluate(async () => (await send(1)).json()), { message: "Data sent successfully" });
  await until(() => assert.equal(heard.at(-1), `event {"data":1}`));
  // It comes back with its last id, across origins as well.
  browser.tolerated = DOWN;
  proxy.sever();
  await until(async () => assert.equal(await page.evaluate(() => eventSource.readyState), 0));
  for (const n of [2, 3]) await update(events, n);
  proxy.cut = false;
  await until(() => assert.deepEqual(heard.slice(2), ["event Connected", `event {"data":2}`, `event {"data":3}`]));
  browser.tolerated = /status of 400/;
  const wrong = await page.evaluate(async port => {
    const answer = await fetch(`http://127.0.0.1:${port}/update`, { method: "POST", body: "{" });
    return [answer.status, (await answer.json()).error];
  }, events.port);
  assert.equal(wrong[0], 400);
  assert.match(wrong[1], /byte 1 of 1/);
  browser.tolerated = null;

  const short = await start("short_poll", "--every", "600");
  const statuses = await page.evaluate(async port => {
    const first = await fetch(`http://127.0.0.1:${port}/update`);
    const second = await fetch(`http://127.0.0.1:${port}/update`, { headers: { "If-None-Match": first.headers.get("ETag") } });
    return [first.status, second.status, (await fetch(`http://127.0.0.1:${port}/time`)).status];
  }, short.port);
  assert.deepEqual(statuses, [200, 304, 200]);

  const long = await start("long_poll", "--every", "600");
  for (const n of [1, 2, 3]) await update(long, n);
  const messages = await page.evaluate(async port => {
    const got = [];
    for (let after = "earliest"; got.length < 3;) {
      const { data, next } = await (await fetch(`http://127.0.0.1:${port}/poll?after=${after}`)).json();
      got.push(data);
      after = next;
    }
    return got;
  }, long.port);
  assert.deepEqual(messages, [1, 2, 3]);

  // By its cookie as well, if the tutorial's fetch is told to send it: what comes between two polls is not lost.
  const cookies = await start("long_poll", "--every", "600", "--wait", "0.3");
  const poll = () => page.evaluate(async port =>
    (await (await fetch(`http://127.0.0.1:${port}/poll`, { credentials: "include" })).json()).data, cookies.port);
  assert.equal(await poll(), null);
  await update(cookies, 1);
  assert.equal(await poll(), 1);
  for (const n of [2, 3]) await update(cookies, n);
  assert.deepEqual([await poll(), await poll()], [2, 3]);

  // Fields that a client adds by itself, and errors, are no riddle either.
  browser.tolerated = /status of 4(00|04|13)/;
  for (const [{ port }, paths] of [[long, ["/poll?after=earliest", "/data"]], [short, ["/update", "/time"]]]) {
    for (const path of paths) {
      const headers = { "Content-Type": "application/json", "Cache-Control": "no-cache", "If-None-Match": '"x"' };
      const status = await page.evaluate(async ([url, headers]) => (await fetch(url, { headers })).status,
        [`http://127.0.0.1:${port}${path}`, headers]);
      assert.equal(status, 200, path);
    }
  }
  for (const [{ port }, path, status, options] of [
    [long, "/poll?after=x", 400], [long, "/nothing", 404], [events, "/nothing", 404, { headers: { "Cache-Control": "no-cache" } }],
    [events, "/update", 413, { method: "POST", body: "x".repeat(70_000) }],
  ]) {
    const answer = await page.evaluate(async ([url, options]) => (await fetch(url, options)).status, [`http://127.0.0.1:${port}${path}`, options]);
    assert.equal(answer, status, path);
  }
  browser.tolerated = null;
  await page.close();
});

await check("nothing was asked of another host", () => assert.deepEqual(browser.elsewhere, []));
await check("the console said nothing else", () => assert.deepEqual(browser.errors, []));

report();
