// What people see of examples/chat.rs, relay.rs and signaling.rs in Chromium, and what other clients get.
//
//     cargo build --release --example chat --example relay --example signaling
//     npm ci --prefix tests/browser
//     node tests/browser/rooms.mjs target/release/examples
//
// As root it goes on in a network of its own with nothing but `lo`: there WebRTC finds the one way that there is,
// nothing can leave this machine, and the examples' own ports are free. As another user it works on the machine's
// network, where WebRTC needs an address that is not loopback.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { WebSocket as Client } from "ws";
import { DOWN, check, end, example, fits, follows, report, startBrowser, startProgram, until } from "./harness.mjs";

const ALONE = process.env.TIDINGS_ALONE === "1";
if (!ALONE && spawnSync("unshare", ["-n", "ip", "link", "set", "lo", "up"]).status === 0) {
  const again = ["-n", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', process.execPath, ...process.argv.slice(1)];
  const { status } = spawnSync("unshare", again, { stdio: "inherit", env: { ...process.env, TIDINGS_ALONE: "1" } });
  process.exit(status ?? 1);
}
console.log(ALONE ? "in a network of its own" : "in the machine's network");

const browser = await startBrowser("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
  "--allow-loopback-in-peer-connection");

const start = (name, ...args) => startProgram(example(name), ["--port", "0", ...args]);
const startAt = (name, port, ...args) => startProgram(example(name), ["--port", String(port), ...args]);
const open = program => browser.open(`http://127.0.0.1:${program.port}/`);
const box = page => page.getByLabel("Your message");
const status = page => page.getByRole("status");

/** The tab is looked at, and is in this state. */
async function is(page, state) {
  await page.bringToFront();
  await until(async () => assert.match(await status(page).textContent(), state));
}

async function write(page, text) {
  await page.bringToFront();
  await box(page).fill(text);
  await box(page).press("Enter");
}

/** The log shows just these lines. */
const shows = (page, lines) =>
  until(async () => assert.deepEqual(await page.getByRole("log").locator("li span").allTextContents(), lines));

/** It fits a phone, also when that is turned, and is light or dark as the person likes it. */
async function looksWell(page) {
  await page.bringToFront();
  await fits(page);
  let count = 0;
  const log = page.getByRole("log");
  await follows(page, log, async () => {
    const line = `line ${count += 1}, which is long enough for more than one line on a phone that is held upright`;
    await box(page).fill(line);
    await box(page).press("Enter");
    await log.locator("li").last().filter({ hasText: line }).waitFor();
  });
}

/** What the Tab key reaches, from the heading on. */
async function reached(page, count) {
  await page.bringToFront();
  await page.getByRole("heading").click();
  const names = [];
  for (let n = 0; n < count; n++) {
    await page.keyboard.press("Tab");
    names.push(await page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent));
  }
  return names;
}

/** A client of the npm package ws, and all that it gets. */
async function client(program) {
  const socket = new Client(`ws://127.0.0.1:${program.port}`);
  socket.got = [];
  socket.on("message", (data, isBinary) => socket.got.push(isBinary ? data : data.toString()));
  await once(socket, "open");
  return socket;
}

/** A page as tutorials have it: served from elsewhere, with its script as it is printed there. */
async function tutorial(script) {
  const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>${script}</script>`;
  const server = http.createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end(page));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const opened = await browser.open("about:blank");
  opened.said = [];
  opened.on("console", said => opened.said.push(said.text()));
  await opened.goto(`http://127.0.0.1:${server.address().port}/`);
  opened.on("close", () => server.close());
  return opened;
}

// Word for word but for the port.
const snippet = port => `
const socket = new WebSocket('ws://localhost:8080');

socket.onopen = function (event) {
  console.log('Connected to the WebSocket server');
  socket.send('Hello, server!');
};

socket.onmessage = function (event) {
  console.log('Message from server: ' + event.data);
};

socket.onerror = function (error) {
  console.error('WebSocket error: ', error);
};

socket.onclose = function (event) {
  console.log('Disconnected from the WebSocket server');
};
`.replace("8080", port);

// The chat.

let chat = await start("chat");
let [ann, ben] = [await open(chat), await open(chat)];
const log = lines => until(() => assert.deepEqual(chat.said.trim().split("\n").slice(1), lines));

await check("chat: what one tab writes is in both, by Enter and by the button", async () => {
  for (const page of [ann, ben]) await is(page, /^open$/);
  await write(ann, "hello");
  await ben.bringToFront();
  await box(ben).fill("good day");
  await ben.getByRole("button", { name: "Send" }).click();
  for (const page of [ann, ben]) await shows(page, ["hello", "good day"]);
  assert.equal(await box(ben).inputValue(), "");
});

await check("chat: the server's log has how many are connected", async () => {
  await log(["connected, now 1", "connected, now 2"]);
  const third = await open(chat);
  await is(third, /^open$/);
  await log(["connected, now 1", "connected, now 2", "connected, now 3"]);
  await third.close();
  await log(["connected, now 1", "connected, now 2", "connected, now 3", "left, now 2"]);
});

await check("chat: a text is text and not markup, and an empty one is not sent", async () => {
  await write(ann, "  ");
  await write(ann, `<img src="//elsewhere.invalid/x" onerror="throw 1"> & 你好 \u{1f389}`);
  for (const page of [ann, ben]) {
    await shows(page, ["hello", "good day", `<img src="//elsewhere.invalid/x" onerror="throw 1"> & 你好 \u{1f389}`]);
  }
  assert.equal(await ben.locator("li img").count(), 0);
});

await check("chat: who comes late sees what was said", async () => {
  const late = await open(chat);
  await shows(late, (await ann.getByRole("log").locator("li span").allTextContents()));
  assert.equal((await late.getByRole("log").locator("li").count()), 3);
  await late.close();
});

await check("chat: whom the server closes is told why, and comes back", async () => {
  // Each state that is shown: this one is gone in a second.
  await ann.evaluate(() => {
    globalThis.states = [];
    new MutationObserver(() => states.push(byId("state").textContent)).observe(byId("state"), { childList: true });
  });
  await ann.evaluate(() => socket.send(new Uint8Array(1)));
  await until(async () => assert((await ann.evaluate(() => states)).includes("reconnecting: only text is understood here")));
  // What is said meanwhile is there afterwards, once and without a notice.
  const before = await ann.getByRole("log").locator("li span").allTextContents();
  const other = await client(chat);
  for (const text of ["one without ann", "and another"]) other.send(text);
  await is(ann, /^open$/);
  for (const page of [ann, ben]) await shows(page, [...before, "one without ann", "and another"]);
  other.terminate();
});

await check("chat: after a kill and a restart both tabs go on and say that something may be missing", async () => {
  const before = await ben.getByRole("log").locator("li").count();
  browser.tolerated = DOWN;
  await end(chat, "SIGKILL");
  for (const page of [ann, ben]) await is(page, /^reconnecting$/);
  await write(ben, "into the void");
  assert.equal(await box(ben).inputValue(), "into the void");
  chat = await startAt("chat", chat.port);
  for (const page of [ann, ben]) await is(page, /^open$/);
  browser.tolerated = null;
  await box(ben).press("Enter");
  for (const page of [ann, ben]) {
    await until(async () => {
      const lines = await page.getByRole("log").locator("li span").allTextContents();
      assert.match(lines.at(-2), /^Some messages may be missing/);
      assert.equal(lines.at(-1), "into the void");
    });
  }
  assert.equal(await ben.getByRole("log").locator("li").count(), before + 2);
});

await check("chat: it fits a phone, follows light and dark, and can be used by keyboard", async () => {
  await looksWell(ann);
  assert.deepEqual(await reached(ann, 3), ["Messages", "Your message", "Send"]);
});

await check("chat: clients of the npm package ws get the plain text", async () => {
  const clients = [await client(chat), await client(chat)];
  clients[0].send("from ws");
  for (const one of clients) await until(() => assert.deepEqual(one.got, ["from ws"]));
  await write(ann, "from a tab");
  for (const one of clients) await until(() => assert.deepEqual(one.got, ["from ws", "from a tab"]));
  clients[1].send(Buffer.from([0, 255]));
  const [code, reason] = await once(clients[1], "close");
  assert.deepEqual([code, reason.toString()], [1003, "only text is understood here"]);
  clients[0].close();
  await once(clients[0], "close");
});

await check("chat: the tutorials' snippet with all four handlers works as it is printed", async () => {
  const page = await tutorial(snippet(chat.port));
  await until(() => assert.deepEqual(page.said, ["Connected to the WebSocket server", "Message from server: Hello, server!"]));
  await write(ann, "hello, snippet");
  await until(() => assert.equal(page.said[2], "Message from server: hello, snippet"));
  browser.tolerated = DOWN;
  await end(chat, "SIGKILL");
  await until(() => assert.equal(page.said[3], "Disconnected from the WebSocket server"));
  for (const tab of [page, ann, ben]) await tab.close();
  browser.tolerated = null;
});

// The relay.

const WELCOME = "Welcome to the WebSocket server!";
let relay = await start("relay");

await check("relay: each tab is told who said it", async () => {
  [ann, ben] = [await open(relay), await open(relay)];
  for (const page of [ann, ben]) await shows(page, [WELCOME]);
  await write(ann, "hello");
  await shows(ann, [WELCOME, "You said: hello"]);
  await shows(ben, [WELCOME, "Other client said: hello"]);
  await write(ben, "<b>good day</b>");
  await shows(ann, [WELCOME, "You said: hello", "Other client said: <b>good day</b>"]);
  await shows(ben, [WELCOME, "Other client said: hello", "You said: <b>good day</b>"]);
});

await check("relay: it fits a phone, follows light and dark, and can be used by keyboard", async () => {
  await looksWell(ann);
  assert.deepEqual(await reached(ann, 3), ["Messages", "Your message", "Send"]);
});

await check("relay: clients of the npm package ws", async () => {
  const [one, other] = [await client(relay), await client(relay)];
  one.send("x");
  await until(() => assert.deepEqual(one.got, [WELCOME, "You said: x"]));
  await until(() => assert.deepEqual(other.got, [WELCOME, "Other client said: x"]));
  for (const socket of [one, other]) socket.terminate();
});

await check("relay: the tutorials' snippet with all four handlers works as it is printed", async () => {
  const page = await tutorial(snippet(relay.port));
  const said = text => `Message from server: ${text}`;
  await until(() => assert.deepEqual(page.said,
    ["Connected to the WebSocket server", said(WELCOME), said("You said: Hello, server!")]));
  await page.close();
});

await check("relay: after a kill and a restart on the same port the page is back within its first pause", async () => {
  await ben.close();
  browser.tolerated = DOWN;
  // From here on the page's time goes on only where it is told to. An hour later is later than it can be by then.
  await ann.clock.install({ time: 0 });
  await ann.clock.pauseAt(3_600_000);
  await end(relay, "SIGKILL");
  await is(ann, /^reconnecting$/);
  relay = await startAt("relay", relay.port);
  let tries = 0;
  ann.on("websocket", () => (tries += 1));
  await ann.clock.runFor(3000);
  await is(ann, /^open$/);
  browser.tolerated = null;
  assert.equal(tries, 1);
  await write(ann, "I am back");
  await until(async () =>
    assert.deepEqual((await ann.locator("li span").allTextContents()).slice(-2), [WELCOME, "You said: I am back"]));
});

await check("relay: it tries ten times, waits twice as long each time, and then no more", async () => {
  let tries = 0;
  ann.on("websocket", () => (tries += 1));
  browser.tolerated = DOWN;
  await end(relay, "SIGKILL");
  for (let n = 1; n <= 10; n++) {
    const more = await until(async () => {
      const text = await ann.locator("#more").textContent();
      assert(text.startsWith(`try ${n} of 10 in `), `${n}: ${text}`);
      return text;
    });
    const [shown, most] = [Number(/in (\d+) s/.exec(more)[1]), Math.min(3 * 2 ** (n - 1), 60)];
    assert(shown >= 0.8 * most && shown <= most, `${n}: ${more}`);
    assert.equal(tries, n - 1);
    await ann.clock.runFor((shown - 1) * 1000);
    assert.equal(tries, n - 1, "not earlier");
    await ann.clock.runFor(1000);
    await until(() => assert.equal(tries, n));
  }
  await is(ann, /^closed$/);
  assert.equal(await ann.locator("#more").textContent(), "10 tries were in vain");
  await ann.clock.runFor(3_600_000);
  assert.equal(tries, 10);
});

await check("relay: a person can make it try again, and success starts the count anew", async () => {
  relay = await startAt("relay", relay.port);
  await ann.getByRole("button", { name: "Connect now" }).click();
  await is(ann, /^open$/);
  for (let round = 0; round < 2; round++) {
    await end(relay, "SIGKILL");
    await until(async () => assert.match(await ann.locator("#more").textContent(), /^try 1 of 10 in 3 s$/));
    await ann.clock.runFor(3000);
    await until(async () => assert.match(await ann.locator("#more").textContent(), /^try 2 of 10 in [56] s$/));
    relay = await startAt("relay", relay.port);
    await ann.clock.runFor(6000);
    await is(ann, /^open$/);
  }
  browser.tolerated = null;
  await ann.clock.resume();
  await ann.close();
  await end(relay, "SIGKILL");
});

await check("relay: with --mode reply only the sender is answered", async () => {
  const program = await start("relay", "--mode", "reply");
  [ann, ben] = [await open(program), await open(program)];
  for (const page of [ann, ben]) await is(page, /^open$/);
  await write(ann, "你好");
  await shows(ann, ["服务器回应:你好"]);
  await write(ben, "b");
  await shows(ben, ["服务器回应:b"]);
  await shows(ann, ["服务器回应:你好"]);
  for (const page of [ann, ben]) await page.close();
});

await check("relay: with --mode others only the others get it, unchanged", async () => {
  const program = await start("relay", "--mode", "others");
  [ann, ben] = [await open(program), await open(program)];
  for (const page of [ann, ben]) await is(page, /^open$/);
  await write(ann, "a");
  await shows(ben, ["a"]);
  await write(ben, "b");
  await shows(ann, ["b"]);
  await shows(ben, ["a"]);
  for (const page of [ann, ben]) await page.close();
});

// Signaling.

let signaling = await start("signaling");
const press = (page, name) => page.bringToFront().then(() => page.getByRole("button", { name }).click());

async function join(page, room) {
  await page.bringToFront();
  await page.getByLabel("Room").fill(room);
  await page.getByLabel("Room").press("Enter");
}

/** Which videos are seen, and each of them plays. */
async function plays(page, ids) {
  await page.bringToFront();
  await until(async () => assert.deepEqual(await page.locator("video:visible").evaluateAll(all => all.map(v => v.id)), ids));
  const look = () => page.locator("video:visible").evaluateAll(all => all.map(v => [v.videoWidth, v.currentTime]));
  await until(async () => (await look()).forEach(([width, time]) => assert(width > 0 && time > 0, `${width} ${time}`)));
  const before = await look();
  await until(async () => (await look()).forEach(([, time], n) => assert(time > before[n][1] + 0.2)));
}

await check("signaling: two tabs in one room are connected, and write to each other directly", async () => {
  [ann, ben] = [await open(signaling), await open(signaling)];
  assert.equal(await ann.getByLabel("Room").inputValue(), "kitchen");
  await join(ann, "kitchen");
  await is(ann, /^You are in the room kitchen\. Waiting/);
  await join(ben, "kitchen");
  for (const page of [ann, ben]) await is(page, /^Connected\.$/);
  await write(ann, "hello");
  await write(ben, "<b>good day</b>");
  for (const page of [ann, ben]) await shows(page, ["hello", "<b>good day</b>"]);
  assert.deepEqual(await ann.locator("li b").allTextContents(), ["You", "The other"]);
  assert.deepEqual(await ben.locator("li b").allTextContents(), ["The other", "You"]);
});

await check("signaling: a third sees that the room is full, and may have another", async () => {
  const third = await open(signaling);
  await join(third, "kitchen");
  await is(third, /^Not joined: the room is full: it has 2 places\.$/);
  assert.equal(await third.evaluate(() => document.activeElement.id), "room");
  await join(third, "x".repeat(20).replaceAll("x", "界"));
  await is(third, /^You are in the room 界+\./);
  await third.close();
  await is(ann, /^Connected\.$/);
});

await check("signaling: a video call with both cameras", async () => {
  await press(ann, "Start video");
  await plays(ann, ["mine"]);
  await plays(ben, ["theirs"]);
  await press(ben, "Start video");
  for (const page of [ann, ben]) await plays(page, ["mine", "theirs"]);
  await press(ann, "Stop video");
  await plays(ann, ["theirs"]);
  await plays(ben, ["mine"]);
  await press(ben, "Stop video");
  for (const page of [ann, ben]) await plays(page, []);
});

await check("signaling: if both offer at once, one gives way and both are seen", async () => {
  const collisions = () => ann.evaluate(() => globalThis.collisions);
  await ann.evaluate(() => {
    globalThis.collisions = 0;
    const describe = Call.prototype.describe;
    Call.prototype.describe = async function (message) {
      await describe.call(this, message);
      if (this.ignoring) globalThis.collisions += 1;
    };
  });
  for (const [n, ids] of [["mine", "theirs"], [], ["mine", "theirs"], []].entries()) {
    // What they tell each other is held back until both have made their offer.
    for (const page of [ann, ben]) {
      await page.evaluate(() => {
        globalThis.untold = [];
        socket.send = text => untold.push(text);
        byId("camera").click();
      });
    }
    for (const page of [ann, ben]) {
      await until(async () => assert(await page.evaluate(() => untold.some(text => JSON.parse(text).type === "offer"))));
    }
    // The one who gives way goes first: when it hears of the other's offer, its own must be on the way.
    for (const page of [ben, ann]) {
      await page.evaluate(() => {
        delete socket.send;
        untold.forEach(text => socket.send(text));
      });
    }
    for (const page of [ann, ben]) await plays(page, ids);
    await until(async () => assert(await collisions() > n));
  }
  await write(ann, "still there?");
  await until(async () => assert.equal(await ben.locator("li span").last().textContent(), "still there?"));
});

await check("signaling: a camera that is not given is said", async () => {
  await ann.evaluate(() => {
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("Permission denied", "NotAllowedError"); };
  });
  await press(ann, "Start video");
  await is(ann, /^That did not work: Permission denied$/);
  await plays(ann, []);
});

await check("signaling: the one who stays sees the other leave, by the button and with its tab, and come back", async () => {
  await press(ben, "Leave");
  await is(ben, /^You have left\.$/);
  await is(ann, /^The other has left\.$/);
  await join(ben, "kitchen");
  for (const page of [ann, ben]) await is(page, /^Connected\.$/);
  // Now the one who came first comes second.
  await press(ann, "Leave");
  await is(ben, /^The other has left\.$/);
  await join(ann, "kitchen");
  for (const page of [ann, ben]) await is(page, /^Connected\.$/);
  await ann.close();
  await is(ben, /^The other has left\.$/);
  ann = await browser.open(`http://127.0.0.1:${signaling.port}/#kitchen`);
  await press(ann, "Start video");
  await plays(ann, ["mine"]);
  await press(ann, "Join");
  await plays(ben, ["theirs"]);
  for (const page of [ann, ben]) await is(page, /^Connected\.$/);
  // The same if the one with the camera is the first.
  await press(ben, "Leave");
  await is(ann, /^The other has left\.$/);
  await join(ben, "kitchen");
  await plays(ben, ["theirs"]);
  for (const page of [ann, ben]) await is(page, /^Connected\.$/);
});

await check("signaling: what is connected outlives the server, which can be joined again", async () => {
  browser.tolerated = DOWN;
  await end(signaling, "SIGKILL");
  for (const page of [ann, ben]) await is(page, /^The server is gone\. What is connected stays so\.$/);
  await write(ben, "without a server");
  await until(async () => assert.equal(await ann.locator("li span").last().textContent(), "without a server"));
  await join(ben, "kitchen");
  await is(ben, /^The server does not answer\.$/);
  await is(ann, /^The connection to the other has ended\.$/);
  browser.tolerated = null;
  signaling = await startAt("signaling", signaling.port);
  for (const page of [ann, ben]) await join(page, "kitchen");
  for (const page of [ann, ben]) await is(page, /^Connected\.$/);
});

await check("signaling: it fits a phone, follows light and dark, and can be used by keyboard", async () => {
  await looksWell(ann);
  assert.deepEqual(await reached(ann, 6), ["Room", "Leave", "Stop video", "Messages", "Your message", "Send"]);
});

await check("signaling: clients of the npm package ws are introduced, and told what is wrong", async () => {
  const [one, other] = [await client(signaling), await client(signaling)];
  const tell = (socket, message) => socket.send(JSON.stringify(message));
  const last = (socket, message) => until(() => assert.deepEqual(JSON.parse(socket.got.at(-1) ?? "{}"), message));
  one.send('{"type":"join"');
  await until(() => assert.match(JSON.parse(one.got[0]).reason, /at byte 14/));
  tell(one, { type: "join", room: "ws" });
  await until(() => assert.equal(one.got.length, 2));
  tell(other, { type: "join", room: "ws" });
  await until(() => assert.equal(other.got.length, 1));
  const { you, peers: [me] } = JSON.parse(other.got[0]);
  await last(one, { type: "peer-joined", peer: you });
  tell(one, { type: "offer", to: you, sdp: "v=0" });
  await last(other, { type: "offer", from: me, sdp: "v=0" });
  other.terminate();
  await last(one, { type: "peer-left", peer: you });
  one.terminate();
});

// All of them.

if (ALONE) {
  await check("without --port each has the port of its tutorial", async () => {
    delete process.env.PORT;
    for (const name of ["ai_stream", "chat", "demo", "embed", "events", "long_poll", "relay", "short_poll", "signaling",
      "threads", "ticks"]) {
      const program = await startProgram(example(name), []);
      assert.equal(program.port, name === "relay" ? 8080 : 3000, name);
      await end(program, "SIGKILL");
    }
  });

  await check("without --every a tick comes every 2 seconds, a piece of an answer every second", async () => {
    const [ticks, answer] = [await start("ticks"), await start("ai_stream")];
    const take = async (url, count) => {
      const [came, leave] = [[], new AbortController()];
      let text = "";
      for await (const piece of (await fetch(url, { signal: leave.signal })).body) {
        text += Buffer.from(piece).toString();
        for (const [, data] of text.matchAll(/^data: (.*)\n\n/gm)) came.push([performance.now(), data]);
        text = text.slice(text.lastIndexOf("\n\n") + 1);
        if (came.length >= count) break;
      }
      leave.abort();
      return came;
    };
    const asked = performance.now();
    const [told, pieces] = await Promise.all([take(`http://127.0.0.1:${ticks.port}/events`, 2),
      take(`http://127.0.0.1:${answer.port}/sse`, 3)]);
    const apart = JSON.parse(told[1][1]).timestamp - JSON.parse(told[0][1]).timestamp;
    assert(apart >= 1990, `ticks are ${apart} ms apart`);
    // From before it was asked for: when the first piece is read says little of when it was sent.
    const took = pieces[2][0] - asked;
    assert(took >= 1990, `two pieces take ${took} ms`);
    for (const program of [ticks, answer]) await end(program, "SIGKILL");
  });
}

await check("nothing was asked of another host", () => assert.deepEqual(browser.elsewhere, []));
await check("the console said nothing else", () => assert.deepEqual(browser.errors, []));

report();
