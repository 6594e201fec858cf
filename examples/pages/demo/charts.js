"use strict";
// Draws the last minute of the four panes on canvases. Each transport has a colour and a shape of its own, so that
// nobody depends on telling colours apart. x is time, up to now at the right.

const styleOf = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A transport's shape around a point; the same as in the head of its pane. */
function shape(g, key, x, y, r) {
  const corners = {
    wait: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    sse: [[0, -1.2], [1.25, 1], [-1.25, 1]],
    ws: [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]],
  }[key];
  g.beginPath();
  if (corners) for (const [dx, dy] of corners) g.lineTo(x + dx * r * 0.9, y + dy * r * 0.9);
  else g.arc(x, y, r, 0, 2 * Math.PI);
  g.fill();
}

/** A canvas, the part of it in which things are drawn, and what all charts have in common. */
class Chart {
  scale = []; // what the lines mean, if that stands at their left: { value, text }
  margin = 0; // room at the right for the labels; it only grows, so that the chart keeps still

  constructor(id) {
    this.canvas = byId(id);
    this.caption = this.canvas.parentElement.querySelector("figcaption").textContent.trim();
  }

  /** A chart has `labels()`, which are what each transport has come to, `y(value)` and `paint()`. */
  draw() {
    const labels = this.labels();
    this.begin(labels);
    this.times();
    this.paint();
    this.write(labels);
    this.describe(labels);
  }

  /** Clears the canvas, in the size that it has now. */
  begin(labels) {
    const { clientWidth: width, clientHeight: height } = this.canvas, ratio = devicePixelRatio;
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const g = this.g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    g.font = `11.5px ${getComputedStyle(this.canvas).fontFamily}`;
    g.textBaseline = "middle";
    const wide = ({ text }) => Math.ceil(g.measureText(text).width);
    this.margin = Math.max(this.margin, ...labels.map(label => wide(label) + 27));
    const axis = Math.max(0, ...this.scale.map(line => wide(line) + 8));
    [this.left, this.right, this.top, this.bottom] = [axis + 0.5, width - this.margin, 16.5, height - 18.5];
    this.until = seconds();
  }

  x(at) { return this.right - (this.right - this.left) * (this.until - at) / MINUTE; }

  text(text, x, y, align = "left", colour = "soft") {
    Object.assign(this.g, { fillStyle: styleOf(colour), textAlign: align });
    this.g.fillText(text, x, y);
  }

  line(y) {
    Object.assign(this.g, { strokeStyle: styleOf("line"), lineWidth: 1 });
    this.g.beginPath();
    this.g.moveTo(this.left, y);
    this.g.lineTo(this.right, y);
    this.g.stroke();
  }

  times() {
    const y = this.bottom + 11, [then, now] = [say("a minute ago"), say("now")];
    const room = this.right - this.left - this.g.measureText(then + now).width;
    if (room > 8) this.text(then, this.left, y);
    this.text(now, this.right, y, "right");
  }

  /** Writes the labels at the right, as near to their y as they can be without lying on each other. */
  write(labels) {
    const gap = 14, places = labels.map(({ at }, n) => ({ y: this.y(at, n), n })).sort((a, b) => a.y - b.y);
    let next = this.top;
    for (const place of places) next = (place.y = Math.max(place.y, next)) + gap;
    let last = this.bottom;
    for (const place of places.toReversed()) last = (place.y = Math.min(place.y, last)) - gap;
    for (const { y, n } of places) {
      this.g.fillStyle = styleOf(panes[n].key);
      shape(this.g, panes[n].key, this.right + 13, y, 4);
      this.text(labels[n].text, this.right + 23, y, "left", "text");
    }
  }

  /** What somebody is told who does not see the chart. */
  describe(labels) {
    const values = labels.map(({ value }, n) => `${panes[n].name}: ${value}`).join(", ");
    this.canvas.setAttribute("aria-label", say("{caption}. {values}", { caption: this.caption, values }));
  }
}

/** Each message a dot, the time that it took by powers of ten: from a WebSocket to a short poll it is a long way. */
class LatencyChart extends Chart {
  scale = [0.1, 1, 10, 100, 1000, 10_000].map(value => ({ value, text: value < 1000 ? `${value} ms` : `${value / 1000} s` }));

  labels() {
    const withNames = this.canvas.clientWidth > 420;
    return panes.map(({ name, figures }) => {
      const [p50] = figures.percentiles(50), value = sayTime(p50);
      return { at: p50 ?? 0.1, value, text: withNames ? `${name}  ${value}` : value };
    });
  }

  y(ms) {
    const [least, most] = [Math.log10(0.1), Math.log10(10_000)];
    const part = (Math.log10(Math.max(ms, 0.1)) - least) / (most - least);
    return this.bottom - Math.min(part, 1) * (this.bottom - this.top);
  }

  paint() {
    for (const { value, text } of this.scale) {
      this.line(this.y(value));
      this.text(text, this.left - 7, this.y(value), "right");
    }
    panes.forEach(pane => this.dots(pane));
  }

  dots({ key, figures }) {
    Object.assign(this.g, { fillStyle: styleOf(key), globalAlpha: 0.75 });
    for (const { at, ms } of figures.latencies()) {
      const x = this.x(at);
      if (x >= this.left) shape(this.g, key, x, this.y(ms), 2.2);
    }
    this.g.globalAlpha = 1;
  }
}

/** How many a second, or how much. */
class RateChart extends Chart {
  constructor(what, sayAmount) {
    super(what);
    Object.assign(this, { what, sayAmount });
  }

  labels() {
    this.rates = panes.map(({ figures }) => figures.rates(this.what));
    this.most = roundUp(Math.max(...this.rates.flat()));
    return this.rates.map(rates => {
      const value = this.sayAmount(rates.at(-1));
      return { at: rates.at(-1), value, text: value };
    });
  }

  y(amount) { return this.bottom - (amount / this.most) * (this.bottom - this.top); }

  paint() {
    for (const part of [0, 0.5, 1]) this.line(this.y(part * this.most));
    this.text(this.sayAmount(this.most), this.left, this.top - 8);
    this.rates.forEach((rates, n) => this.curve(panes[n].key, rates));
  }

  curve(key, rates) {
    Object.assign(this.g, { strokeStyle: styleOf(key), lineWidth: 1.75, lineJoin: "round" });
    this.g.beginPath();
    const step = (this.right - this.left) / (rates.length - 1);
    rates.forEach((rate, n) => this.g.lineTo(this.left + n * step, this.y(rate)));
    this.g.stroke();
  }
}

/** A round number, not below `amount`. */
function roundUp(amount) {
  const power = 10 ** Math.floor(Math.log10(Math.max(amount, 1)));
  return [1, 2, 3, 4, 6, 8].map(factor => factor * power).find(most => most >= amount) ?? 10 * power;
}

/** A line for each transport while it is connected; its shape where it came back, a bar where it was told a gap. */
class ReconnectsChart extends Chart {
  labels() {
    return panes.map(({ figures }) => {
      const value = whole.format(figures.sum("reconnects"));
      return { value, text: value };
    });
  }

  y(_, n) { return this.top + (n + 0.5) * (this.bottom - this.top) / panes.length; }

  paint() {
    panes.forEach((pane, n) => {
      this.line(this.y(0, n));
      this.connected(pane, this.y(0, n));
      this.gaps(pane, this.y(0, n));
    });
  }

  connected(pane, y) {
    this.g.fillStyle = styleOf(pane.key);
    let before = null;
    pane.states.forEach(({ at, name }, n) => {
      const until = pane.states[n + 1]?.at ?? this.until;
      const [from, to] = [Math.max(this.x(at), this.left), Math.max(this.x(until), this.left)];
      if (pane.isConnected(name)) this.g.fillRect(from, y - 1.5, to - from, 3);
      if (pane.isConnected(name) && before === "reconnecting" && from > this.left) shape(this.g, pane.key, from, y, 5);
      before = name;
    });
  }

  gaps({ figures }, y) {
    this.g.fillStyle = styleOf("gap");
    for (const { second, gaps } of figures.last(MINUTE)) {
      if (gaps > 0) this.g.fillRect(this.x(second + 0.5) - 1.5, y - 7, 3, 14);
    }
  }
}

const perSecond = amount => (amount === 0 ? "0" : short.format(amount));
const charts = [
  new LatencyChart("latency"),
  new RateChart("requests", perSecond),
  new RateChart("down", sayBytes),
  new RateChart("up", sayBytes),
  new ReconnectsChart("reconnects"),
];
