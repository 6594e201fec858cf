//! [`Event`]: one event of an event stream, and how it is encoded (WHATWG HTML, 9.2, server-sent events).

use crate::error::{Error, Result};

/// One event of an event stream (Server-Sent Events).
///
/// # Examples
///
/// ```
/// let event = tidings::Event::data("two\nlines").id("1-2").name("reading");
/// assert_eq!(event.encode()?, b"event: reading\nid: 1-2\ndata: two\ndata: lines\n\n");
/// # tidings::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Event<'a> {
    /// The text of the `data:` lines. Without any, clients dispatch no event, but take over the id and `retry`.
    data: Option<&'a str>,
    /// The `id:` line.
    id: Option<&'a str>,
    /// The `event:` line.
    name: Option<&'a str>,
    /// The `retry:` line, in milliseconds.
    retry: Option<u64>,
    /// A comment line, which every client skips.
    comment: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// An event without data: clients dispatch no event, but take over the id and `retry`.
    ///
    /// # Examples
    ///
    /// ```
    /// let first = tidings::Event::new().retry(3000).id("7-0");
    /// assert_eq!(first.encode()?, b"id: 7-0\nretry: 3000\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn new() -> Event<'a> {
        Event::default()
    }

    /// An event with data. Each CRLF, CR and LF in the data is a line end, which a client sees as LF.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Event::data("").encode()?, b"data: \n\n");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn data(data: &'a str) -> Event<'a> {
        Event { data: Some(data), ..Event::default() }
    }

    /// A comment: clients skip it, and it keeps proxies from closing a connection that is idle.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Event::comment("bye").encode()?, b": bye\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn comment(comment: &'a str) -> Event<'a> {
        Event { comment: Some(comment), ..Event::default() }
    }

    /// Sets the id, which an EventSource sends back as `Last-Event-ID`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Event::data("x").id("1").encode()?, b"id: 1\ndata: x\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    #[must_use]
    pub fn id(mut self, id: &'a str) -> Event<'a> {
        self.id = Some(id);
        self
    }

    /// Sets the name under which an EventSource dispatches the event; without one, it is `message`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Event::data("x").name("y").encode()?, b"event: y\ndata: x\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    #[must_use]
    pub fn name(mut self, name: &'a str) -> Event<'a> {
        self.name = Some(name);
        self
    }

    /// Sets the time after which an EventSource connects again, in milliseconds.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Event::new().retry(5).encode()?, b"retry: 5\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    #[must_use]
    pub fn retry(mut self, milliseconds: u64) -> Event<'a> {
        self.retry = Some(milliseconds);
        self
    }

    /// Encodes the event.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the id, the name or the comment has a CR or LF, or if the id has a NUL: a client would read
    /// another event than was meant.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(tidings::Event::data("x").id("1\ndata: y").encode().is_err());
    /// ```
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(64 + self.data.map_or(0, str::len));
        self.encode_into(&mut out)?;
        Ok(out)
    }

    /// Appends the encoded event; on an error, `out` is as it was.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) -> Result<()> {
        let one_line = |text: &str| !text.contains(['\r', '\n']);
        if ![self.id, self.name, self.comment].into_iter().flatten().all(one_line) {
            return Err(Error::Misuse("an event's id, name or comment is not one line"));
        }
        if self.id.is_some_and(|id| id.contains('\0')) {
            return Err(Error::Misuse("an event's id has a NUL, for which clients ignore it"));
        }
        push_line(": ", self.comment, out);
        push_line("event: ", self.name, out);
        push_line("id: ", self.id, out);
        push_line("retry: ", self.retry.map(|ms| ms.to_string()).as_deref(), out);
        for line in self.data.into_iter().flat_map(lines) {
            push_line("data: ", Some(line), out);
        }
        out.push(b'\n');
        Ok(())
    }
}

fn push_line(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
}

/// Splits text at each CRLF, CR and LF. Text without any of them is one line, also if it is empty.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else { return rest.take() };
        let (line, tail) = text.split_at(end);
        rest = tail.strip_prefix("\r\n").or_else(|| tail.get(1..));
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn a_line_ends_in_crlf_cr_or_lf() {
        let split = |text| lines(text).collect::<Vec<_>>();
        assert_eq!(split("a\r\nb\rc\nd"), ["a", "b", "c", "d"]);
        assert_eq!(split("\n\r"), ["", "", ""]);
        assert_eq!(split(""), [""]);
    }
}
