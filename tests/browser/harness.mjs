// What the browser tests share: checks, programs to test, a way to them that can be cut, and Chromium.
//
// CHROMIUM names another browser than /usr/bin/chromium. The browser sees the fonts of fonts/wide.conf and no others;
// those of fonts/narrow.conf with FONTS=narrow. `report()` prints "N passed, N failed" and ends the run.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const PATIENCE = 120_000; // more than any machine takes: it is there so that what never comes fails

// What is to be undone however this ends.
const undo = [];
process.on("exit", () => undo.reverse().forEach(step => step()));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
setTimeout(() => {
  console.log(`stuck in: ${current}\n${passed} passed, ${failed + 1} failed`);
  process.exit(1);
}, 1_800_000).unref();

let [passed, failed, current] = [0, 0, "the start"];

export async function check(name, body) {
  current = name;
  const start = performance.now();
  try {
    await body();
    passed += 1;
    console.log(`ok    ${name} (${Math.round(performance.now() - start)} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}

export function report() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}

/** Asks until `look` does not throw; its last complaint is the failure. */
export async function until(look) {
  const by = performance.now() + PATIENCE;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > by) throw error;
      await new Promise(done => setTimeout(done, 50));
    }
  }
}

// What a page looks like.

/** Letters and words as far apart as a reader may want them (WCAG 1.4.12), which is more than any font needs. Each
    element keeps its own distance else, so it is said of all. */
const APART = "* { letter-spacing: .12em !important; word-spacing: .16em !important; }";

/** The words that stick out of the window, of their own box, or of one that cuts them off; runs in the page. */
function clipped() {
  const cut = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());) {
    // What is for those only who have the page read aloud has no place.
    if (text.parentElement.closest(".spoken")) continue;
    const boxes = [["the window", { left: 0, right: innerWidth }]];
    for (let box = text.parentElement, own = true; box; box = box.parentElement) {
      const { display, overflowX } = getComputedStyle(box);
      // Who scrolls it sees the rest.
      if (["auto", "scroll"].includes(overflowX)) break;
      if (display === "inline" || (!own && overflowX === "visible")) continue;
      boxes.push([`its <${box.localName}>`, box.getBoundingClientRect()]);
      own = false;
    }
    // Not the blanks: those at a line's end may hang over.
    for (const word of text.data.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const place = range.getBoundingClientRect();
      for (const [name, box] of boxes) {
        const over = Math.max(place.right - box.right, box.left - place.left);
        if (place.width > 0 && over > 1) cut.push(`${word[0]} is out of ${name} by ${over}`);
      }
    }
  }
  return cut;
}

/** Nothing makes the page wider than its window, and no text is cut off. It is laid out a little after a size is set. */
export async function fitsAt(page, width) {
  await page.setViewportSize({ width, height: 800 });
  for (const style of ["", APART]) {
    await page.evaluate(style => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(style);
      document.adoptedStyleSheets = [sheet];
    }, style);
    const what = style ? ", letters apart" : "";
    await until(async () => {
      const { scrollWidth, clientWidth, inner } = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { scrollWidth, clientWidth, inner: innerWidth };
      });
      assert(inner === width && scrollWidth <= clientWidth, `${scrollWidth} in ${clientWidth}, ${inner} of ${width}${what}`);
      assert.deepEqual(await page.evaluate(clipped), [], `${width} wide${what}`);
    });
  }
  await page.evaluate(() => { document.adoptedStyleSheets = []; });
}

/** It fits a phone, also one turned, a tablet and a desk; in light and in dark, which are not the same. */
export async function fits(page, also = () => {}) {
  const colours = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [320, 360, 390, 800, 1024, 1280, 1400]) {
      await fitsAt(page, width);
      await also(width);
    }
    colours.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  assert.notEqual(colours[0], colours[1]);
  await page.emulateMedia({ colorScheme: null });
}

// The server.

/** The program of an example; the folder of them is the one argument. */
export function example(name) {
  const folder = process.argv[2];
  if (folder) return join(folder, name);
  console.error("usage: node TEST.mjs FOLDER-OF-THE-EXAMPLES, such as target/release/examples");
  process.exit(2);
}

/** Starts a program and waits for `ready` in what it prints; the port is the one of the first URL that it prints. */
export async function startProgram(binary, args, ready = /http:\/\/127\.0\.0\.1:\d+/) {
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"] });
  undo.push(() => child.kill("SIGKILL"));
  const program = { child, said: "" };
  child.stdout.setEncoding("utf8").on("data", piece => (program.said += piece));
  await until(() => {
    assert.equal(child.exitCode, null, `${binary} has ended`);
    assert.match(program.said, ready);
  });
  program.port = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(program.said)?.[1]);
  return program;
}

/** Sends a signal and waits for the end. */
export async function end(program, signal) {
  const gone = once(program.child, "exit");
  program.child.kill(signal);
  const [code, by] = await gone;
  return { code, by };
}

/** A request on a connection of its own, read to its end. */
export function request(port, method, path, body = "", headers = {}) {
  return new Promise((done, failed) => {
    const asked = http.request({ port, host: "127.0.0.1", method, path, headers, agent: false }, answer => {
      let text = "";
      answer.setEncoding("utf8").on("data", piece => (text += piece));
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text }));
      answer.on("error", failed);
    });
    asked.on("error", failed).end(body);
  });
}

/** A way to the server that can be cut, which the server survives. It counts the bytes of each path. */
export async function startProxy(to) {
  const sockets = new Set();
  const proxy = {
    cut: false,
    bytes: {}, // by path: { up, down }
    server: net.createServer(client => {
      if (proxy.cut) return client.destroy();
      const server = net.connect(to, "127.0.0.1");
      let path = "?";
      const count = (way, piece) => ((proxy.bytes[path] ??= { up: 0, down: 0 })[way] += piece.length);
      client.on("data", piece => {
        path = /^[A-Z]+ (\/[^ ?]*)/.exec(piece.toString("latin1"))?.[1] ?? path;
        count("up", piece);
      });
      server.on("data", piece => count("down", piece));
      for (const [one, other] of [[client, server], [server, client]]) {
        sockets.add(one);
        one.pipe(other);
        one.on("error", () => {}).on("close", () => (sockets.delete(one), other.destroy()));
      }
    }),
    sever() {
      proxy.cut = true;
      sockets.forEach(socket => socket.destroy());
    },
  };
  proxy.server.listen(0, "127.0.0.1");
  await once(proxy.server, "listening");
  proxy.port = proxy.server.address().port;
  undo.push(() => proxy.server.close());
  return proxy;
}

// The browser. Playwright's own launch makes every page believe that it is looked at. Here hidden tabs are to be
// hidden, so the browser is started by hand, and playwright changes nothing in it.

const FONTS = { wide: "DejaVu Sans", narrow: "Liberation Sans Narrow" };
const fonts = process.env.FONTS ?? "wide";

/** The names of the fonts that a page's texts are shown in. */
async function fontsOf(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("DOM.enable");
  await session.send("CSS.enable");
  const { root } = await session.send("DOM.getDocument");
  const { nodeId } = await session.send("DOM.querySelector", { nodeId: root.nodeId, selector: "body" });
  const shown = await session.send("CSS.getPlatformFontsForNode", { nodeId });
  await session.detach();
  return shown.fonts.map(({ familyName }) => familyName);
}

async function launch(more) {
  const FONTCONFIG_FILE = fileURLToPath(new URL(`fonts/${fonts}.conf`, import.meta.url));
  const profile = mkdtempSync(join(tmpdir(), "tidings-browser-"));
  undo.push(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`, "--remote-debugging-port=0", ...more];
  const child = spawn(process.env.CHROMIUM ?? "/usr/bin/chromium", [...flags, "about:blank"],
    { stdio: ["ignore", "ignore", "pipe"], detached: true, env: { ...process.env, FONTCONFIG_FILE } });
  undo.push(() => { try { process.kill(-child.pid, "SIGKILL"); } catch { /* it is gone */ } });
  let [said, at] = ["", null];
  for await (const piece of child.stderr.iterator({ destroyOnReturn: false })) {
    said += piece;
    if ((at = /DevTools listening on (ws:\S+)/.exec(said))) break;
  }
  assert(at, `the browser did not start:\n${said}`);
  child.stderr.resume();
  return chromium.connectOverCDP(at[1], { noDefaults: true, isLocal: true, timeout: PATIENCE });
}

/** Chromium, and what its pages do that they should not. */
export async function startBrowser(...flags) {
  const browser = await launch(flags);
  const context = browser.contexts()[0];
  context.setDefaultTimeout(PATIENCE);
  const watched = {
    browser,
    context,
    errors: [],       // what the console said that it should not
    elsewhere: [],    // requests to other hosts
    tolerated: null,  // a RegExp of what the console may say just now
    async open(url) {
      const page = await context.newPage();
      page.on("websocket", socket => see(socket.url()));
      page.on("pageerror", error => watched.errors.push(`thrown: ${error.stack}`));
      page.on("console", said => {
        const bad = said.type() === "error" && !watched.tolerated?.test(said.text());
        if (bad) watched.errors.push(`${current}: ${said.text()}`);
      });
      await page.goto(url);
      return page;
    },
  };
  function see(url) {
    if (/^(https?|wss?):/.test(url) && !/^(127\.0\.0\.1|localhost)$/.test(new URL(url).hostname)) watched.elsewhere.push(url);
  }
  context.on("request", asked => see(asked.url()));
  const [page] = context.pages();
  await page.setContent("<body style='font-family: system-ui, sans-serif'>What is it shown in?");
  assert.deepEqual(await fontsOf(page), [FONTS[fonts]], "a font is not installed, see tests/run");
  await page.goto("about:blank");
  return watched;
}

/** The newest line of a list stays in sight, a turned phone or not, until the reader scrolls away from it. `say` has one
    more line come, and waits for it. */
export async function follows(page, list, say) {
  const distance = () => list.evaluate(list => list.scrollHeight - list.scrollTop - list.clientHeight);
  const inSight = what => until(async () => assert(await distance() < 2, `${what}: ${await distance()} px below`));
  const [wide, high] = [{ width: 812, height: 375 }, { width: 375, height: 812 }];
  const turn = async size => {
    await page.setViewportSize(size);
    await until(async () => assert.equal(await page.evaluate(() => innerHeight), size.height));
  };
  await turn(high);
  while (await list.evaluate(list => list.scrollHeight < 1.5 * list.clientHeight)) await say();
  for (const size of [wide, high, wide, { width: 1400, height: 900 }, high, wide]) {
    await turn(size);
    await inSight("turned");
    await say();
    await inSight("a line after it");
  }
  // Who reads what was before stays there.
  await list.hover();
  await page.mouse.wheel(0, -100_000);
  await until(async () => assert.equal(await list.evaluate(list => list.scrollTop), 0));
  // The page is told of it in the next frame.
  await list.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
  for (const size of [high, wide]) {
    await turn(size);
    await say();
  }
  assert(await distance() > 40, "it went to the end by itself");
  await list.evaluate(list => list.scrollTo(0, list.scrollHeight));
  await inSight("back at the end");
  await say();
  await inSight("and on");
}

/** What the console says of a server that is not there. */
export const DOWN = /net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|SOCKET_NOT_CONNECTED)|WebSocket connection to .* failed/;
