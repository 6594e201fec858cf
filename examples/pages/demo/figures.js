"use strict";
// What the panes measure over the last minute: how long a message took, and what went over the line for it.

const MINUTE = 60;          // seconds that are looked at
const KEPT = MINUTE + 4;    // seconds that are kept
const MOST_LATENCIES = 400; // per second and pane: bounded in a burst, and enough for a p99

/** Seconds since the page was opened. */
const seconds = () => performance.now() / 1000;

const newSlot = second => ({ second, requests: 0, up: 0, down: 0, reconnects: 0, gaps: 0, timed: 0, latencies: [] });
const NOTHING = newSlot(-1);

/** What a slot has of something. How large the requests were is known a little after they were made. */
const amount = (slot, what) => slot[what] + (what === "up" ? slot.requests * request.size : 0);

/** One pane's figures, second by second. */
class Figures {
  slots = [];

  /** The figures of a second, which may be changed. */
  slot(second) {
    const place = second % KEPT;
    if (this.slots[place]?.second !== second) this.slots[place] = newSlot(second);
    return this.slots[place];
  }

  count(what, amount = 1) {
    this.slot(Math.floor(seconds()))[what] += amount;
  }

  /** Notes that a message which came at `at` took `ms`. Of very many in a second a fair sample is kept. */
  latency(at, ms) {
    const slot = this.slot(Math.floor(at)), nth = slot.timed++;
    const place = nth < MOST_LATENCIES ? nth : Math.floor(Math.random() * (nth + 1));
    if (place < MOST_LATENCIES) slot.latencies[place] = { at, ms };
  }

  /** The last `count` seconds, the one that is not over at the end. */
  last(count) {
    const now = Math.floor(seconds());
    return Array.from({ length: count }, (_, n) => {
      const second = now - count + 1 + n, slot = this.slots[second % KEPT];
      return slot?.second === second ? slot : NOTHING;
    });
  }

  sum(what) {
    return this.last(MINUTE).reduce((sum, slot) => sum + amount(slot, what), 0);
  }

  /** How many a second, each second of the last minute. Evened out over four: a short poll asks every other. */
  rates(what) {
    const amounts = this.last(KEPT).map(slot => amount(slot, what));
    return Array.from({ length: MINUTE }, (_, n) => amounts.slice(n, n + 4).reduce((sum, one) => sum + one) / 4);
  }

  latencies() {
    return this.last(MINUTE).flatMap(slot => slot.latencies);
  }

  /** Latencies that so many in a hundred messages stayed within; null without a message. */
  percentiles(...wanted) {
    const sorted = this.latencies().map(({ ms }) => ms).sort((a, b) => a - b);
    return wanted.map(percent => sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? null);
  }
}

/** "epoch-seq" as two numbers, which are beyond what a `Number` holds. */
const parseId = id => id.split("-").map(BigInt);
const isUpTo = ([epoch, seq], [otherEpoch, otherSeq]) => epoch < otherEpoch || (epoch === otherEpoch && seq <= otherSeq);

/** Tells how long messages took. When a message came is known here; when it was published only the server knows,
    which says so a little later, in its own time. */
class Stopwatch {
  after = null;  // the id up to which the server has said it
  first = null;  // the id from which on it has
  stamps = [];   // [id, the server's time], each for all ids since the one before
  receipts = []; // messages that came and whose stamp did not yet
  samples = [];  // of how the server's clock differs from ours
  now = 0;       // the server's time when it last said it

  /** A message came to a pane. */
  received(figures, id) {
    this.receipts.push({ figures, id: parseId(id), at: performance.now() });
    if (this.receipts.length > 8000) this.receipts.shift();
  }

  /** The server's word: `now` is its time between the two of ours; all in milliseconds. */
  learn({ now, last, stamps }, asked, answered) {
    if (now < this.now) this.samples = []; // it is another server, with another clock
    this.now = now;
    this.samples.push({ ahead: now - (asked + answered) / 2, error: (answered - asked) / 2 });
    if (this.samples.length > 10) this.samples.shift();
    this.first ??= parseId(last);
    this.stamps.push(...stamps.map(([id, at]) => [parseId(id), at / 1000]));
    if (this.stamps.length > 2000) this.first = this.stamps.splice(0, this.stamps.length - 2000).at(-1)[0];
    this.after = last;
    this.receipts = this.receipts.filter(receipt => !this.settle(receipt, asked));
  }

  /** Forgets what it was told, when some of it may have been missed. */
  reset() {
    [this.after, this.first, this.stamps, this.receipts, this.samples] = [null, null, [], [], []];
  }

  /** The best guess at the clocks' difference: that of the shortest question. */
  get clock() {
    const shorter = (best, sample) => (sample.error < best.error ? sample : best);
    return this.samples.reduce(shorter, { ahead: 0, error: Infinity });
  }

  /** Notes a message's latency; false if its stamp is still to come: of what was there before the server was `asked`, it
      has told. */
  settle({ figures, id, at }, asked) {
    // What was published while nobody listened says nothing of the transport.
    if (isUpTo(id, this.first)) return true;
    let place = this.stamps.length;
    while (place > 0 && isUpTo(id, this.stamps[place - 1][0])) place -= 1;
    if (place === this.stamps.length) return at < asked;
    const published = this.stamps[place][1] - this.clock.ahead;
    figures.latency(at / 1000, Math.max(0, at - published));
    return true;
  }
}

// Sizes on the line (RFC 9112, RFC 6455, WHATWG HTML 9.2). What a script is not shown is computed.

const sizeOf = text => new TextEncoder().encode(text).length;

/** How large a request of this browser is, but for its target; the server says so. */
const request = { size: 500 };

// By how much the requests of an EventSource and a WebSocket differ from it in Chromium, and the heads that they get.
const [EVENTS_REQUEST, EVENTS_HEAD, SOCKET_REQUEST, SOCKET_HEAD] = [14, 218, -33, 166];

/** Headers, given as pairs. */
const headersSize = headers => [...headers].reduce((size, [name, value]) => size + `${name}: ${value}\r\n`.length, 0);

/** The head of an answer to `fetch`. */
const headSize = ({ status, statusText, headers }) =>
  `HTTP/1.1 ${status} ${statusText}\r\n\r\n`.length + headersSize(headers);

const chunkSize = body => body + body.toString(16).length + "\r\n\r\n".length;

/** An event with these fields, in a chunk of its own. */
function eventSize(fields) {
  const lines = ([name, value]) => value.split(/\r\n|\r|\n/).map(line => `${name}: ${line}\n`);
  return chunkSize(sizeOf(Object.entries(fields).flatMap(lines).join("")) + "\n".length);
}

function frameSize(text) {
  const size = sizeOf(text);
  return size + (size < 126 ? 2 : size < 65536 ? 4 : 10);
}
