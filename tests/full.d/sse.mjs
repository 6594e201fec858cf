// What the EventSource clients of npm and Chromium read from an event stream, as JSON. For the script `sse`.
//
//     node sse.mjs http://127.0.0.1:PORT/events?after=earliest message,name,end
//
// CHROMIUM names another browser than /usr/bin/chromium.

import { EventSource } from "eventsource";
import { createParser } from "eventsource-parser";
import { chromium } from "playwright-core";
import { EventSource as Undici } from "undici";

const [url, names] = [process.argv[2], process.argv[3].split(",")];

/** Collects until `end`; runs in Node and in the browser. */
function collect(url, names, Source = globalThis.EventSource) {
  return new Promise(done => {
    const [source, events, errors] = [new Source(url), [], []];
    for (const name of names) {
      source.addEventListener(name, event => {
        events.push({ id: event.lastEventId, event: event.type, data: event.data });
        if (name !== "end") return;
        source.close();
        done({ events, errors });
      });
    }
    source.onerror = event => errors.push(String(event.message ?? event.error ?? "error"));
  });
}

async function parsed() {
  const [events, errors, leave] = [[], [], new AbortController()];
  const parser = createParser({
    onEvent: ({ id, event, data }) => events.push({ id, event: event ?? "message", data }),
    onError: error => errors.push(`${error.type}: ${error.message}`),
  });
  const decoder = new TextDecoder();
  for await (const bytes of (await fetch(url, { signal: leave.signal })).body) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    if (events.at(-1)?.event === "end") break;
  }
  leave.abort();
  return { events, errors };
}

async function browsed() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(new URL("/", url).href);
    return await page.evaluate(`(${collect})(${JSON.stringify(url)}, ${JSON.stringify(names)})`);
  } finally {
    await browser.close();
  }
}

const read = {
  eventsource: await collect(url, names, EventSource),
  undici: await collect(url, names, Undici),
  "eventsource-parser": await parsed(),
  chromium: await browsed(),
};
process.stdout.write(JSON.stringify(read), () => process.exit(0));
