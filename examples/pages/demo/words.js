"use strict";
// The page's words in the language of the browser, or the one in ?lang=. The English text is the key.

/** What the buttons have done. */
const EXPLAIN = {
  burst: "1,000 published in about a second. The history keeps the last {kept}: " +
    "a client that asks too seldom, such as a short poll, is told of a gap.",
  restart: "A new log with a new epoch, as after a restart. " +
    "Nobody can say what was missed in between, so each pane is told of a gap.",
  cut: "{name} is cut off for {seconds} seconds. " +
    "It comes back by itself and goes on from its last id: nothing is lost that the history keeps.",
  ended: "The topic has ended: its last message says so, and the event stream closed behind it. " +
    "For a minute whoever comes late gets all of it, and the end.",
};

const CHINESE = {
  "tidings: one log, four transports": "tidings：一份日志，四种传输方式",
  "Publish once. Four clients of the same log receive it, each over a different transport, and show what that cost them in the last minute: time, requests, bytes.":
    "只发布一次，同一份日志的四个客户端各用一种传输方式收到它，并显示各自最近一分钟的代价：时间、请求和字节。",

  "Publish a message": "发布一条消息",
  "Some news": "写点什么",
  "Publish": "发布",
  "Steady, messages per second": "持续发布，每秒条数",
  "Off": "关",
  "Make it hard": "考验一下",
  "Burst of 1,000": "连发 1,000 条",
  "Restart the hub": "重启消息中心",

  "A topic that ends": "会结束的主题",
  "Count down": "倒数",
  "ended": "已结束",

  "Begin with a steady rate. Then try a burst, a cut, a restart.": "先选一个持续发布的速率，再试试连发、切断和重启。",
  "Write something first.": "请先写点内容。",
  "Published as {id}.": "已发布，编号 {id}。",
  "Not published: {why}.": "未发布：{why}。",
  "Not done: {why}.": "未完成：{why}。",
  "the server does not answer": "服务器没有应答",
  "the message is too large for the history": "消息太大，历史记录放不下",
  "a burst is under way": "上一轮连发还没有结束",
  "status {status}": "状态码 {status}",
  [EXPLAIN.burst]:
    "约一秒内发布了 1,000 条。历史记录只保留最后 {kept} 条：问得太少的客户端（如短轮询）会被告知有缺口。",
  [EXPLAIN.cut]:
    "“{name}”被切断 {seconds} 秒。它会自己恢复，从最后的编号继续：历史记录里还有的，一条也不会丢。",
  [EXPLAIN.restart]:
    "日志换了新纪元，就像服务器重启过一样。没人说得清其间错过了什么，所以每个窗格都会被告知有缺口。",
  [EXPLAIN.ended]:
    "主题已经结束：它的最后一条消息就是终点，事件流随之关闭。一分钟之内，晚来的人也能收到全部内容和终点。",

  "Short poll": "短轮询",
  "Asks every two seconds.": "每两秒问一次。",
  "Long poll": "长轮询",
  "Asks, and the answer waits.": "问一次，等有消息才答。",
  "Server-Sent Events": "Server-Sent Events",
  "One answer that does not end.": "一个不会结束的应答。",
  "WebSocket": "WebSocket",
  "One frame per message.": "每条消息一帧。",
  "No message yet.": "还没有消息。",
  "last id": "最后编号",
  "none": "无",
  "Cut": "切断",
  "Cut {name}": "切断“{name}”",
  "latency p50": "延迟 p50",
  "requests": "请求",
  "bytes down": "下行字节",
  "bytes up": "上行字节",
  "reconnects": "重连",

  "connecting": "连接中",
  "open": "已连接",
  "waiting": "等待中",
  "reconnecting": "重连中",
  "paused": "已暂停",
  "{state}: {why}": "{state}：{why}",
  "shutdown": "服务器关闭",
  "closed": "消息中心已关闭",
  "full": "名额已满",
  "gap": "缺口",
  "gap × {count}": "缺口 × {count}",
  "gap: messages may be missing here": "缺口：此处可能缺少消息",
  "{count} messages, the last: {last}": "{count} 条消息，最后一条：{last}",

  "The last minute": "最近一分钟",
  "Latency of each message, from publish to receive": "每条消息从发布到收到的延迟",
  "Requests per second": "每秒请求数",
  "Bytes down per second": "每秒下行字节",
  "Bytes up per second": "每秒上行字节",
  "Reconnects, and gaps": "重连，以及缺口",
  "a minute ago": "一分钟前",
  "now": "现在",
  "{caption}. {values}": "{caption}。{values}",

  "What it costs the server": "服务器的代价",
  "Connections": "连接数",
  "{wait} long poll · {sse} SSE · {ws} WebSocket · {other} idle":
    "长轮询 {wait} · SSE {sse} · WebSocket {ws} · 空闲 {other}",
  "Requests": "请求数",
  "since its start, by all clients": "启动以来，所有客户端合计",
  "Messages kept": "保留的消息",
  "{used} of {most}": "{used} / {most}",
  "Gaps reported": "告知的缺口",
  "since its start, to all clients": "启动以来，所有客户端合计",
  "Memory": "内存",
  "{growth} more than at its start": "比启动时多 {growth}",
  "Memory per connection": "每个连接的内存",
  "all of that growth, divided by the connections": "上述增量除以连接数",
  "from {count} connections on": "连接达到 {count} 个才显示",

  "How this is measured": "这些数字是怎么量的",
  "All figures of a pane are of the last minute. Latency is the time from when the server took the message to when this page's script had it. The server says when that was, and its clock is compared with this page's once a second.":
    "窗格里的数字都是最近一分钟的。延迟从服务器接到消息算起，到本页脚本拿到消息为止。接到的时刻由服务器告知，它的时钟每秒与本页核对一次。",
  "At this moment the clocks are known to agree to {error}.": "此刻两个时钟的误差不超过 {error}。",
  "Bytes are those of HTTP, without TCP and below. The bodies are counted. Heads of requests are computed from what the server got from this browser. What a script is not shown of an event stream or a WebSocket (≈) is computed as well: its head and its framing, but not its heartbeats, some bytes every 15 seconds.":
    "字节只算 HTTP，不含 TCP 及以下各层。正文是数出来的；请求头按服务器从本浏览器收到的大小推算。事件流和 WebSocket 中脚本看不到的部分（≈）也是推算的：响应头和分帧；心跳不计，每 15 秒只有几个字节。",
  "The server's memory is that of the whole process. With few connections most of its growth is not theirs, so there is a figure per connection from 100 on.":
    "服务器的内存是整个进程的内存。连接很少时，增量大多不是连接占用的，所以连接达到 100 个才显示每个连接的数字。",
  "A browser opens at most six HTTP/1.1 connections to one host. So a tab that is hidden closes its connections, and goes on from its last ids when you come back to it.":
    "浏览器对同一主机最多打开六个 HTTP/1.1 连接。所以没人看的标签页会关闭自己的连接，等你回来再从最后的编号继续。",
  "Windows side by side are all visible: each holds two connections, one for its event stream and one for its long poll, so three of them hold all six, and anything else that they ask for has to wait.":
    "并排打开的窗口都算有人看：每个窗口占用两个连接，一个给事件流，一个给长轮询；三个窗口就占满六个，其余请求只能等待。",
};

const wanted = new URLSearchParams(location.search).get("lang") ?? navigator.language;
const isChinese = wanted.toLowerCase().startsWith("zh");

/** The text in the page's language; `{name}` stands for `values.name`. */
function say(text, values = {}) {
  const said = (isChinese && CHINESE[text]) || text;
  return said.replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
}

const numbers = digits => new Intl.NumberFormat(isChinese ? "zh-CN" : "en", { maximumSignificantDigits: digits });
const [whole, short] = [numbers(15), numbers(3)];

/** A time in milliseconds, for people. */
function sayTime(ms) {
  if (ms === null) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function sayBytes(bytes) {
  return bytes < 1000 ? `${Math.round(bytes)} B` : `${short.format(bytes / 1000)} kB`;
}

function sayKib(kib) {
  return kib < 1000 ? `${short.format(kib)} KiB` : `${short.format(kib / 1024)} MiB`;
}

/** Puts the words of the page itself into its language. */
function translate(root) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.replace(/\s+/g, " ").trim();
    if (CHINESE[text]) texts.currentNode.data = texts.currentNode.data.replace(/\S[^]*\S|\S/, () => say(text));
  }
  for (const element of root.querySelectorAll("[placeholder]")) element.placeholder = say(element.placeholder);
  for (const element of root.querySelectorAll("[data-empty]")) element.dataset.empty = say(element.dataset.empty);
}

if (isChinese) {
  document.documentElement.lang = "zh-CN";
  document.title = say(document.title);
  for (const root of [document.body, document.getElementById("pane").content]) translate(root);
  const other = document.getElementById("language");
  [other.href, other.lang, other.hreflang, other.textContent] = ["?lang=en", "en", "en", "English"];
}
