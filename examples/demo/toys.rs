//! What the page of `demo.rs` shows and does beside the messages: its files, figures, a burst, a cut, a restart. None of
//! it is needed to serve the four transports.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use event_listener::Event;
use serde_json::json;
use smol::Timer;
use tidings::{Error, Exchange, Fault, Head, Hub, Id, Limits, Response};

/// Messages of a burst, and how many of them are published in a row before the readers have their turn.
const BURST: (usize, usize) = (1000, 10);

/// How long a transport that was cut stays away.
const OUTAGE: Duration = Duration::from_secs(3);

/// For how many publishes it is remembered when they were.
const STAMPS: usize = 1024;

/// The hub, and what the page shows of it. All on one thread, as `Server::serve` is.
pub(crate) struct Demo {
    pub(crate) hub: Hub,
    pub(crate) poll: Lane,
    pub(crate) wait: Lane,
    pub(crate) sse: Lane,
    pub(crate) ws: Lane,
    /// The newest ids and when all up to them was published, for the page's latencies.
    stamps: RefCell<VecDeque<(Id, Duration)>>,
    /// Whether a burst is under way.
    bursting: Cell<bool>,
    /// When the demo began, and the memory of the process then.
    start: (Instant, Option<u64>),
}

impl Demo {
    pub(crate) fn new(limits: &Limits) -> Demo {
        let [poll, wait, sse, ws] = [(); 4].map(|()| Lane::default());
        let hub = Hub::new(limits);
        let start = (Instant::now(), resident());
        Demo { hub, poll, wait, sse, ws, stamps: RefCell::default(), bursting: Cell::new(false), start }
    }

    /// Publishes texts, all of them at this moment; returns the last id.
    pub(crate) fn publish(&self, texts: impl IntoIterator<Item = String>) -> tidings::Result<Id> {
        let now = self.start.0.elapsed();
        for text in texts {
            self.hub.publish("news", text)?;
        }
        let (last, mut stamps) = (self.hub.last(), self.stamps.borrow_mut());
        stamps.push_back((last, now));
        let old = stamps.len().saturating_sub(STAMPS);
        stamps.drain(..old);
        Ok(last)
    }

    /// Publishes more than the history keeps, in about a second: whoever asks too seldom is told a gap.
    pub(crate) async fn burst(&self, ex: Exchange<'_>) -> tidings::Result<()> {
        if self.bursting.replace(true) {
            return ex.reply(Response::text("a burst is under way\n").with_status(409)).await;
        }
        let (count, slice) = BURST;
        let mut last = Ok(self.hub.last());
        for first in (1..=count).step_by(slice) {
            last = self.publish((first..first + slice).map(|n| format!("{n}/{count}")));
            Timer::after(Duration::from_millis(10)).await;
        }
        self.bursting.set(false);
        ex.reply(Response::text(last?)).await
    }

    /// Cuts one transport off for a while.
    pub(crate) async fn cut(&self, ex: Exchange<'_>) -> tidings::Result<()> {
        let lane = match ex.head().query("transport").as_deref() {
            Some("poll") => &self.poll,
            Some("wait") => &self.wait,
            Some("sse") => &self.sse,
            Some("ws") => &self.ws,
            _ => return ex.reply(Response::text("transport=poll|wait|sse|ws\n").with_status(400)).await,
        };
        lane.back.set(Some(Instant::now() + OUTAGE));
        lane.cut.notify(usize::MAX);
        ex.reply(Response::text(OUTAGE.as_secs())).await
    }

    /// Begins a new log with an epoch of its own, as a restart of the server does.
    pub(crate) fn restart(&self) -> Id {
        self.hub.reset(Id::new(self.hub.last().epoch() + 1, 0));
        self.hub.last()
    }

    /// The figures of this moment. With `?after=ID` also when what came behind it was published.
    pub(crate) fn stats(&self, ex: &Exchange<'_>) -> tidings::Result<String> {
        let (server, hub, limits) = (ex.server().stats(), self.hub.stats(), ex.server().limits());
        let after = match ex.head().query("after") {
            Some(id) => id.parse().map_err(|_| Fault::Cursor)?,
            None => self.hub.last(),
        };
        let kept = self.hub.topic("news").map_or(0, |news| news.messages);
        let stamps = self.stamps.borrow();
        let stamps = stamps.iter().filter(|(id, _)| *id > after);
        let figures = json!({
            "now": micros(self.start.0.elapsed()),
            "last": self.hub.last().to_string(),
            "stamps": stamps.map(|(id, at)| json!([id.to_string(), micros(*at)])).collect::<Vec<_>>(),
            "head": head_bytes(ex.head()),
            "connections": server.connections, "requests": server.requests,
            "poll": self.poll.figures(), "wait": self.wait.figures(),
            "sse": self.sse.figures(), "ws": self.ws.figures(),
            "messages": [kept, limits.history], "bytes": [hub.bytes, limits.history_bytes],
            "gaps": hub.gaps,
            "resident": [resident(), self.start.1],
        });
        Ok(figures.to_string())
    }
}

/// One transport: what it has to do, and the knife.
#[derive(Default)]
pub(crate) struct Lane {
    /// Requests being answered now, and all since the start.
    open: Cell<usize>,
    requests: Cell<usize>,
    /// Notified when it is cut.
    cut: Event,
    /// Until when it stays away.
    back: Cell<Option<Instant>>,
}

impl Lane {
    /// Answers by a transport until that is done, or cut: a stream ends in the middle, what was not begun is 503.
    pub(crate) async fn serve(
        &self,
        answer: impl Future<Output = tidings::Result<()>>,
    ) -> tidings::Result<()> {
        self.requests.set(self.requests.get() + 1);
        if self.back.get().is_some_and(|back| Instant::now() < back) {
            return Err(Error::Full);
        }
        let _open = Open::new(&self.open);
        let cut = async {
            self.cut.listen().await;
            Err(Error::Full)
        };
        smol::future::or(answer, cut).await
    }

    fn figures(&self) -> serde_json::Value {
        json!({ "open": self.open.get(), "requests": self.requests.get() })
    }
}

/// Counts one more until it is dropped: also a task that is dropped with its connection is counted right.
struct Open<'a>(&'a Cell<usize>);

impl<'a> Open<'a> {
    fn new(count: &'a Cell<usize>) -> Open<'a> {
        count.set(count.get() + 1);
        Open(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A file of the page, or what is wrong with the request.
pub(crate) fn file(method: &str, path: &str) -> Response {
    let (kind, text) = match path {
        "/" => ("html", include_str!("../pages/demo/index.html")),
        "/style.css" => ("css", include_str!("../pages/demo/style.css")),
        "/words.js" => ("javascript", include_str!("../pages/demo/words.js")),
        "/figures.js" => ("javascript", include_str!("../pages/demo/figures.js")),
        "/panes.js" => ("javascript", include_str!("../pages/demo/panes.js")),
        "/charts.js" => ("javascript", include_str!("../pages/demo/charts.js")),
        "/page.js" => ("javascript", include_str!("../pages/demo/page.js")),
        "/poll" | "/wait" | "/events" | "/stats" => return only("GET, HEAD"),
        path if path.starts_with("/countdown/") => return only("GET, HEAD"),
        "/ws" => return only("GET"),
        "/publish" | "/burst" | "/cut" | "/restart" | "/countdown" => return only("POST"),
        _ => return Response::text("there is nothing here, see /\n").with_status(404),
    };
    match method {
        "GET" | "HEAD" => Response::new(200)
            .header("Content-Type", format!("text/{kind}; charset=utf-8"))
            .header("Cache-Control", "no-store")
            .body(text.as_bytes()),
        _ => only("GET, HEAD"),
    }
}

fn only(allow: &'static str) -> Response {
    Response::text("the method is not allowed\n").with_status(405).header("Allow", allow)
}

/// Whether a page of another site asks: a browser lets it send a form anywhere, and says so here.
pub(crate) fn is_foreign(head: &Head) -> bool {
    let origin = head.header("origin").map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    origin.is_some_and(|host| Some(host) != head.header("host"))
        || head.header("sec-fetch-site").is_some_and(|site| site != "same-origin")
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// Bytes of a request head as it came. From it the page knows how large its requests are.
fn head_bytes(head: &Head) -> usize {
    let fields = head.headers().map(|(name, value)| name.len() + value.len() + ": \r\n".len());
    head.method().len() + head.target().len() + "  HTTP/1.1\r\n\r\n".len() + fields.sum::<usize>()
}

/// Memory of this process in KiB, where the system tells (Linux).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}
