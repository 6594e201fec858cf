"use strict";
// The buttons, the server's figures, and when all of it is shown.

// What the panes have measured.

const show = (root, name, text) => { root.querySelector(`[data-of="${name}"]`).textContent = text; };

function showFigures({ root, key, figures }) {
  const [p50, p99] = figures.percentiles(50, 99);
  const about = key === "sse" || key === "ws" ? "≈ " : "";
  show(root, "p50", sayTime(p50));
  show(root, "p99", sayTime(p99));
  show(root, "requests", whole.format(figures.sum("requests")));
  show(root, "down", about + sayBytes(figures.sum("down")));
  show(root, "up", about + sayBytes(figures.sum("up")));
  show(root, "reconnects", whole.format(figures.sum("reconnects")));
}

/** Forgets the states before the last minute, but for the one that reaches into it. */
function forget(pane) {
  while (pane.states.length > 1 && pane.states[1].at < seconds() - MINUTE) pane.states.shift();
}

function redraw() {
  panes.forEach(forget);
  panes.forEach(showFigures);
  charts.forEach(chart => chart.draw());
}

// What the server says of itself.

let kept = 128; // messages of history
const MANY = 100; // connections: with fewer, most of the memory's growth is not theirs

function showServer({ connections, requests, wait, sse, ws, messages, bytes, gaps, resident }) {
  const root = byId("server"), [now, before] = resident;
  const other = Math.max(0, connections - wait.open - sse.open - ws.open);
  show(root, "connections", whole.format(connections));
  show(root, "held", say("{wait} long poll · {sse} SSE · {ws} WebSocket · {other} idle",
    { wait: wait.open, sse: sse.open, ws: ws.open, other }));
  show(root, "requests", whole.format(requests));
  show(root, "messages", say("{used} of {most}", { used: messages[0], most: kept = messages[1] }));
  show(root, "bytes", say("{used} of {most}", { used: sayKib(bytes[0] / 1024), most: sayKib(bytes[1] / 1024) }));
  show(root, "gaps", whole.format(gaps));
  const growth = now && before ? Math.max(0, now - before) : null;
  show(root, "memory", now ? sayKib(now) : "–");
  show(root, "growth", growth === null ? "" : say("{growth} more than at its start", { growth: sayKib(growth) }));
  const many = connections >= MANY;
  show(root, "each", growth === null || !many ? "–" : sayKib(growth / connections));
  show(root, "divided", many ? say("all of that growth, divided by the connections") : say("from {count} connections on", { count: MANY }));
}

/** Asks the server for its figures, and when what came was published. */
async function askServer(signal) {
  const path = stopwatch.after ? `/stats?after=${stopwatch.after}` : "/stats";
  const asked = performance.now();
  const answer = await fetch(path, { signal, cache: "no-store" });
  const answered = performance.now();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const stats = await answer.json();
  request.size = stats.head - path.length;
  stopwatch.learn({ ...stats, now: stats.now / 1000 }, asked, answered);
  const error = sayTime(stopwatch.clock.error);
  byId("clocks").textContent = say("At this moment the clocks are known to agree to {error}.", { error });
  showServer(stats);
}

/** Once a second, while somebody looks: asks the server, shows all figures. */
async function watch(signal) {
  for (let failures = 0; !signal.aborted;) {
    try {
      await askServer(signal);
      failures = 0;
    } catch {
      if (signal.aborted) return;
      failures += 1;
      stopwatch.reset();
    }
    byId("server").dataset.state = failures > 0 ? "away" : "there";
    redraw();
    await pause(1000, signal);
  }
}

// A topic that ends, which an EventSource follows to its end.

const countdown = {
  name: null,    // of the topic, while it has not ended
  cursor: "",    // the id to resume from, at first none
  source: null,  // an EventSource

  begin(name) {
    this.leave();
    [this.name, this.cursor] = [name, ""];
    this.follow();
  },

  follow() {
    if (!this.name || this.source) return;
    const source = this.source = new EventSource(`/${this.name}?after=${this.cursor}`);
    source.onmessage = event => {
      this.cursor = event.lastEventId;
      byId("number").textContent = event.data;
    };
    // Without a close it would come back once more, and be told 204.
    source.addEventListener("done", () => {
      this.end(say("ended"));
      outcome(say(EXPLAIN.ended));
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.end("–");
    };
  },

  leave() {
    this.source?.close();
    this.source = null;
  },

  end(how) {
    this.leave();
    this.name = null;
    byId("number").textContent = how;
  },
};

// A tab that nobody looks at leaves its connections to the others.

let watching = null;

function look() {
  if (document.visibilityState === "hidden") return leave();
  panes.forEach(pane => pane.start());
  countdown.follow();
  if (watching) return;
  watching = new AbortController();
  watch(watching.signal);
}

function leave() {
  watching?.abort();
  watching = null;
  stopwatch.reset();
  panes.forEach(pane => pane.stop());
  countdown.leave();
}

document.addEventListener("visibilitychange", look);
addEventListener("pageshow", look);
addEventListener("pagehide", leave);
addEventListener("resize", () => {
  for (const chart of charts) chart.margin = 0;
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
look();

// The buttons.

function outcome(text, bad = false) {
  byId("outcome").textContent = text;
  byId("outcome").classList.toggle("bad", bad);
}

/** Posts, and returns what the server says; an Error that says why not. */
async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body });
  } catch {
    throw new Error(say("the server does not answer"));
  }
  const said = (await answer.text()).trim();
  if (answer.ok) return said;
  const known = CHINESE[said] || !isChinese;
  throw new Error(said && known ? say(said) : say("status {status}", { status: answer.status }));
}

let publishing = Promise.resolve();
byId("publish").addEventListener("submit", event => {
  event.preventDefault();
  const box = byId("text"), text = box.value;
  box.focus();
  if (text.trim() === "") return outcome(say("Write something first."), true);
  box.value = "";
  // One after the other, so that they arrive in the order in which they were written.
  publishing = publishing.then(async () => {
    try {
      outcome(say("Published as {id}.", { id: await post("/publish", text) }));
    } catch (error) {
      outcome(say("Not published: {why}.", { why: error.message }), true);
      if (box.value === "") box.value = text;
    }
  });
});

/** Publishes the time of day so many times a second; skips a time rather than to have two under way. */
let [timer, busy] = [null, false];
function publishSteadily(rate) {
  clearInterval(timer);
  if (rate > 0) timer = setInterval(publishTime, 1000 / rate);
}

async function publishTime() {
  // Nobody looks: no traffic.
  if (busy || document.visibilityState === "hidden") return;
  busy = true;
  try {
    await post("/publish", new Date().toISOString().slice(11, 21));
    if (byId("outcome").classList.contains("bad")) outcome("");
  } catch (error) {
    outcome(say("Not published: {why}.", { why: error.message }), true);
  }
  busy = false;
}

byId("rate").addEventListener("change", event => publishSteadily(Number(event.target.value)));

/** Does what a button says, and explains it. */
function onClick(button, path, explain) {
  button.addEventListener("click", async () => {
    try {
      outcome(explain(await post(path)));
    } catch (error) {
      outcome(say("Not done: {why}.", { why: error.message }), true);
    }
  });
}

onClick(byId("burst"), "/burst", () => say(EXPLAIN.burst, { kept }));
onClick(byId("restart"), "/restart", () => say(EXPLAIN.restart));
onClick(byId("count"), "/countdown", name => {
  countdown.begin(name);
  return "";
});
for (const { key, name, root } of panes) {
  onClick(root.querySelector(".cut"), `/cut?transport=${key}`, seconds => say(EXPLAIN.cut, { name, seconds }));
}
