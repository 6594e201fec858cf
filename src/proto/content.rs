//! [`Content`]: what an answer carries behind its head.

use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

/// What an answer carries behind its head. It is written from where it is: static and shared bytes are never copied
/// for a slow client, and owned ones move in.
///
/// Nothing of it counts in [`Limits::worst_case`](crate::Limits::worst_case): static bytes are the program's, and shared
/// and owned ones the embedder's, who made them.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidings::Response;
///
/// // Made once, and shared by all who ask for it.
/// let page: Arc<[u8]> = Arc::from(std::fs::read("README.md")?);
/// let answer = Response::new(200).header("Content-Type", "text/markdown").body(page.clone());
/// let icon = Response::new(200).header("Content-Type", "image/gif").body(b"GIF89a..");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Content(Kept);

#[derive(Clone)]
enum Kept {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
}

impl Content {
    /// No bytes.
    pub(crate) const EMPTY: Content = Content(Kept::Static(&[]));

    /// The bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::Content;
    /// assert_eq!(Content::from("hello").bytes(), b"hello");
    /// ```
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Static(bytes) => bytes,
            Kept::Shared(bytes) => bytes,
            Kept::Owned(bytes) => bytes,
        }
    }
}

impl Default for Content {
    /// No bytes.
    fn default() -> Content {
        Content::EMPTY
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes().len())
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Content {
        Content(Kept::Static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Content {
    fn from(bytes: &'static [u8; N]) -> Content {
        Content(Kept::Static(bytes))
    }
}

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Content {
        Content(Kept::Static(text.as_bytes()))
    }
}

impl From<Arc<[u8]>> for Content {
    fn from(bytes: Arc<[u8]>) -> Content {
        Content(Kept::Shared(bytes))
    }
}

impl From<Arc<str>> for Content {
    fn from(text: Arc<str>) -> Content {
        Content(Kept::Shared(text.into()))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content(Kept::Owned(bytes))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content(Kept::Owned(text.into_bytes()))
    }
}

impl From<Cow<'static, [u8]>> for Content {
    fn from(bytes: Cow<'static, [u8]>) -> Content {
        match bytes {
            Cow::Borrowed(bytes) => Content::from(bytes),
            Cow::Owned(bytes) => Content::from(bytes),
        }
    }
}

impl From<Cow<'static, str>> for Content {
    fn from(text: Cow<'static, str>) -> Content {
        match text {
            Cow::Borrowed(text) => Content::from(text),
            Cow::Owned(text) => Content::from(text),
        }
    }
}
