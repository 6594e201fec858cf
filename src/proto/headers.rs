//! [`Headers`]: the fields of an answer, checked and written down as they are added.

use super::text::{is_token, is_value_byte};
use crate::error::{Error, Result};

/// The fields of an answer, but for those that the connection writes.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// As they go out, each with its line end.
    lines: String,
    /// The options of `Connection`, which the connection completes.
    connection: String,
    /// Whether one of them is `close`.
    closes: bool,
}

impl Headers {
    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str, value: &str) -> Result<()> {
        check(name, value)?;
        if name.eq_ignore_ascii_case("connection") {
            value.split(',').map(str::trim_ascii).for_each(|option| self.add_option(option));
        } else {
            if self.lines.is_empty() {
                // Room for some at once: growing step by step takes longer than all else here.
                self.lines.reserve(160);
            }
            [name, ": ", value, "\r\n"].iter().for_each(|part| self.lines.push_str(part));
        }
        Ok(())
    }

    /// Adds an option of `Connection`. Whether it persists is for the connection to say.
    fn add_option(&mut self, option: &str) {
        match option.to_ascii_lowercase().as_str() {
            "close" => self.closes = true,
            "keep-alive" | "" => {}
            _ => push_option(&mut self.connection, option),
        }
    }

    /// Adds all of another's.
    pub(crate) fn append(&mut self, other: &Headers) {
        self.lines.push_str(&other.lines);
        self.closes |= other.closes;
        if !other.connection.is_empty() {
            push_option(&mut self.connection, &other.connection);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.connection.is_empty() && !self.closes
    }

    pub(super) fn lines(&self) -> &str {
        &self.lines
    }

    /// Whether the answer itself asks for the connection to be closed.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// The options of the one `Connection`: what the answer has itself and what the connection adds.
    pub(super) fn connection(&self, added: &str) -> String {
        let mut options = self.connection.clone();
        if !added.is_empty() {
            push_option(&mut options, added);
        }
        options
    }
}

fn push_option(options: &mut String, more: &str) {
    options.push_str(if options.is_empty() { "" } else { ", " });
    options.push_str(more);
}

/// Is it legal to add this field to an answer?
fn check(name: &str, value: &str) -> Result<()> {
    if !is_token(name.as_bytes()) || !value.bytes().all(is_value_byte) {
        return Err(Error::Misuse("a header field is not legal"));
    }
    let ours = ["content-length", "transfer-encoding", "date"];
    match ours.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        true => Err(Error::Misuse("Content-Length, Transfer-Encoding and Date are not yours to set")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_legal_is_not_added() {
        let mut headers = Headers::default();
        for (name, value) in [("X", "a\r\nY: b"), ("X\r\n", "a"), ("", "a"), ("X", "a\0"), ("Date", "now")] {
            assert!(matches!(headers.add(name, value), Err(Error::Misuse(_))), "{name}: {value}");
        }
        assert!(headers.is_empty());
    }

    #[test]
    fn there_is_one_connection() {
        let (mut headers, mut more) = (Headers::default(), Headers::default());
        assert_eq!((headers.connection(""), headers.connection("close")), (String::new(), "close".into()));
        headers.add("Connection", "X-Hop").expect("legal");
        more.add("connection", "X-Other").expect("legal");
        headers.append(&more);
        assert_eq!(headers.connection("keep-alive"), "X-Hop, X-Other, keep-alive");
        headers.add("Connection", "x, CLOSE").expect("legal");
        assert!(headers.closes() && headers.lines().is_empty() && !headers.is_empty());
        headers.add("Connection", "keep-alive,").expect("legal");
        assert_eq!(headers.connection("close"), "X-Hop, X-Other, x, close");
    }
}
