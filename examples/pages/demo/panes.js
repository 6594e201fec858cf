"use strict";
// The four panes, each a client of the same log by another transport. What the figures need is in lines with
// `count` or `figures`; without them these are the clients that you would write.

const MOST_LINES = 200;
const byId = id => document.getElementById(id);

/** Waits, or less if `signal` is aborted. */
const pause = (ms, signal) => new Promise(done => {
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    done();
  };
  const timer = setTimeout(end, signal.aborted ? 0 : ms);
  signal.addEventListener("abort", end);
});

const stopwatch = new Stopwatch();

/** What a pane shows, and its cursor. A transport below extends it with `open(signal)`: connect, resume from
    `this.cursor`, do nothing more once `signal` is aborted. */
class Pane {
  cursor = "earliest";   // the id to resume from; at first all that is kept
  gapCount = 0;
  failures = 0;          // in a row
  running = null;        // an AbortController, null while paused
  connection = null;     // what else is to be closed
  figures = new Figures();
  states = [];           // { at, name }: the last minute, and what was before it
  following = true;      // whether the newest line is kept in sight: until the reader scrolls away from it
  size = "";             // of the list, when the newest line was last brought into sight for that
  scrolling = null;      // the frame in which the newest line comes into sight

  constructor(key, name, about) {
    [this.key, this.name] = [key, say(name)];
    this.root = byId("pane").content.firstElementChild.cloneNode(true);
    this.list = this.find("ol");
    this.find("h2").textContent = this.name;
    this.find(".soft").textContent = say(about);
    this.find(".cut").setAttribute("aria-label", say("Cut {name}", { name: this.name }));
    this.find("h2").id = `${this.constructor.name}-title`;
    this.root.id = this.constructor.name;
    this.root.dataset.transport = key;
    for (const element of [this.root, this.list]) element.setAttribute("aria-labelledby", this.find("h2").id);
    byId("panes").append(this.root);
    // With a line to come, `follow` has looked.
    this.list.addEventListener("scroll", () => { if (!this.scrolling) this.look(); });
    new ResizeObserver(() => {
      this.look();
      this.size = this.sizeNow();
      this.toEnd();
    }).observe(this.list);
  }

  find(selector) { return this.root.querySelector(selector); }

  start() {
    if (this.running) return;
    this.running = new AbortController();
    this.failures = 0;
    this.state("connecting");
    this.open(this.running.signal);
  }

  stop() {
    this.running?.abort();
    this.connection?.close();
    this.running = this.connection = null;
    this.state("paused");
  }

  state(name, why) {
    const before = this.states.at(-1)?.name;
    if (before === "reconnecting" && this.isConnected(name)) this.figures.count("reconnects");
    if (before !== name) this.states.push({ at: seconds(), name });
    this.root.dataset.state = name;
    const text = why ? say("{state}: {why}", { state: say(name), why: say(why) }) : say(name);
    // Only when it changes: a WebSocket says with each message that it is open.
    if (this.find(".state").textContent !== text) this.find(".state").textContent = text;
  }

  isConnected(state) { return state === "open" || state === "waiting"; }

  /** All up to `id` has been seen. */
  seen(id) {
    this.cursor = id;
    this.find(".cursor").textContent = id;
  }

  message({ id, data }) {
    stopwatch.received(this.figures, id);
    const line = document.createElement("li");
    line.title = id;
    for (const [kind, text] of [["id", id.split("-")[1]], ["data", data]]) {
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      line.append(part);
    }
    this.add(line);
    this.seen(id);
    speak(id, data);
  }

  gap(next) {
    const line = document.createElement("li");
    line.className = "gap";
    line.textContent = say("gap: messages may be missing here");
    this.add(line);
    this.gapCount += 1;
    this.figures.count("gaps");
    this.find(".gaps").hidden = false;
    this.find(".gaps").textContent = this.gapCount > 1 ? say("gap × {count}", { count: this.gapCount }) : say("gap");
    this.seen(next);
    speak(next, line.textContent);
  }

  add(line) {
    this.scrolling ??= this.follow();
    this.list.append(line);
    while (this.list.children.length > MOST_LINES) this.list.firstElementChild.remove();
  }

  /** Keeps the newest line in sight, if it is. Once per frame: in a burst, measuring at each line would take
      longer than the messages do. */
  follow() {
    this.look();
    return requestAnimationFrame(() => {
      this.scrolling = null;
      this.toEnd();
    });
  }

  /** Whether the newest line is in sight. A turned phone gives the list another size: it may scroll by itself then,
      which is not the reader's doing. */
  look() {
    const list = this.list, atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    this.following = atEnd || (this.following && this.sizeNow() !== this.size);
  }

  sizeNow() { return `${this.list.clientWidth} ${this.list.clientHeight}`; }

  toEnd() {
    if (this.following) this.list.scrollTop = this.list.scrollHeight;
  }

  /** How long to wait before the next try: longer each time, and another time for each client. */
  backOff() {
    return Math.min(500 * 2 ** this.failures++, 8000) * (0.7 + 0.3 * Math.random());
  }

  /** Tries again later, for transports that are told of their end by an event. */
  async again(signal, why) {
    if (signal.aborted) return;
    this.state("reconnecting", why);
    await pause(this.backOff(), signal);
    if (!signal.aborted) this.open(signal);
  }
}

/** What `Retry-After` of an answer asks for, in milliseconds; a date is none of ours. */
const retryAfter = answer => (Number(answer.headers.get("Retry-After")) || 0) * 1000;

/** Asks over and over; what a short and a long poll have in common. */
class Poll extends Pane {
  async open(signal) {
    while (!signal.aborted) {
      try {
        await this.ask(signal);
        this.failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.state("reconnecting", error.said);
        await pause(Math.max(this.backOff(), error.retryAfter ?? 0), signal);
      }
    }
  }

  /** Asks once, and takes what is new; returns the answer. */
  async take(path, signal, headers = {}) {
    this.figures.count("requests");
    this.figures.count("up", path.length + headersSize(Object.entries(headers)));
    const answer = await fetch(path, { headers, signal, cache: "no-store" });
    const text = await answer.text();
    this.figures.count("down", headSize(answer) + sizeOf(text));
    if (answer.status === 304) return answer;
    if (!answer.ok) throw Object.assign(new Error(), { said: String(answer.status), retryAfter: retryAfter(answer) });
    const { messages, next, gap } = JSON.parse(text);
    if (gap) this.gap(next);
    for (const message of messages) this.message(message);
    this.seen(next);
    return answer;
  }
}

class ShortPoll extends Poll {
  async ask(signal) {
    const headers = this.cursor === "earliest" ? {} : { "If-None-Match": `"${this.cursor}"` };
    await this.take("/poll", signal, headers);
    this.state("open");
    await pause(2000, signal);
  }
}

class LongPoll extends Poll {
  async ask(signal) {
    // While the answer is held there is no sign that the server is back, except that it does not fail.
    const held = setTimeout(() => this.state("waiting"), this.failures > 0 ? 1500 : 0);
    const answer = await this.take(`/wait?after=${this.cursor}`, signal).finally(() => clearTimeout(held));
    // An empty answer for any other reason than the time comes at once, and says when to ask again.
    const reason = answer.headers.get("Tidings-Reason") ?? "timeout";
    if (reason !== "timeout") throw Object.assign(new Error(), { said: reason, retryAfter: retryAfter(answer) });
  }
}

class Events extends Pane {
  open(signal) {
    const path = `/events?last_event_id=${this.cursor}`;
    const source = this.connection = new EventSource(path);
    let opened = false;
    source.onopen = () => {
      opened = true;
      this.failures = 0;
      this.asked(path);
      this.state("open");
    };
    source.onmessage = event => {
      this.figures.count("down", eventSize({ id: event.lastEventId, data: event.data }));
      this.message({ id: event.lastEventId, data: event.data });
    };
    source.addEventListener("gap", event => {
      this.figures.count("down", eventSize({ event: "gap", id: event.lastEventId, data: event.data }));
      this.gap(JSON.parse(event.data).next);
    });
    source.onerror = () => {
      if (!opened) this.asked(path);
      opened = false;
      // It comes back by itself, with Last-Event-ID, unless the answer was not a stream: then it gives up.
      if (source.readyState === EventSource.CLOSED) this.again(signal);
      else this.state("reconnecting");
    };
  }

  /** Counts one request. An EventSource makes them by itself, and only says how each of them ended. */
  asked(path) {
    this.figures.count("requests");
    this.figures.count("up", path.length + EVENTS_REQUEST);
    this.figures.count("down", EVENTS_HEAD);
  }
}

class Socket extends Pane {
  open(signal) {
    const scheme = location.protocol === "https:" ? "wss" : "ws", path = `/ws?after=${this.cursor}`;
    this.figures.count("requests");
    this.figures.count("up", path.length + SOCKET_REQUEST);
    this.figures.count("down", SOCKET_HEAD);
    const socket = this.connection = new WebSocket(`${scheme}://${location.host}${path}`);
    socket.onmessage = event => {
      this.figures.count("down", frameSize(event.data));
      const frame = JSON.parse(event.data);
      this.failures = 0;
      this.state("open");
      if (frame.gap) this.gap(frame.next);
      else if (frame.id) this.message(frame);
      else this.seen(frame.next);
    };
    socket.onclose = event => this.again(signal, event.reason);
  }
}

const panes = [
  new ShortPoll("poll", "Short poll", "Asks every two seconds."),
  new LongPoll("wait", "Long poll", "Asks, and the answer waits."),
  new Events("sse", "Server-Sent Events", "One answer that does not end."),
  new Socket("ws", "WebSocket", "One frame per message."),
];

// Says each message once, by whichever pane has it first. Many in a row are summed up, ever less often.
const spoken = new Set();
let unsaid = [], saying = null, said = -Infinity;
function speak(id, text) {
  const what = `${id} ${text}`;
  if (spoken.has(what)) return;
  spoken.add(what);
  if (spoken.size > 2 * MOST_LINES) spoken.delete(spoken.values().next().value);
  unsaid.push(text);
  saying ??= setTimeout(() => {
    const many = unsaid.length > 3;
    const sum = () => say("{count} messages, the last: {last}", { count: unsaid.length, last: unsaid.at(-1) });
    byId("spoken").textContent = many ? sum() : unsaid.join(". ");
    [unsaid, saying, said] = [[], null, seconds()];
  }, seconds() - said > 5 ? 250 : 4000);
}
