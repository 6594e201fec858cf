//! [`Content`]: the body of a response.

use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

/// The body of a response: bytes that are static, shared or owned. They are written from where they are: neither static nor
/// shared bytes are copied for a slow reader, and owned bytes are moved.
///
/// [`Limits::worst_case`](crate::Limits::worst_case) counts none of these bytes: static ones are part of the program, and
/// the embedder allocates the shared and the owned ones.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidings::Response;
///
/// // The page is read once, and all responses share it.
/// let page: Arc<[u8]> = Arc::from(std::fs::read("README.md")?);
/// let answer = Response::new(200).header("Content-Type", "text/markdown").body(page.clone());
/// let icon = Response::new(200).header("Content-Type", "image/gif").body(b"GIF89a..");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Content(Storage);

#[derive(Clone)]
enum Storage {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
}

impl Content {
    /// No bytes.
    pub(crate) const EMPTY: Content = Content(Storage::Static(&[]));

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
            Storage::Static(bytes) => bytes,
            Storage::Shared(bytes) => bytes,
            Storage::Owned(bytes) => bytes,
        }
    }

    /// Makes a clone cheap.
    pub(super) fn share(&mut self) {
        if let Storage::Owned(bytes) = &mut self.0 {
            self.0 = Storage::Shared(core::mem::take(bytes).into());
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
        Content(Storage::Static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Content {
    fn from(bytes: &'static [u8; N]) -> Content {
        Content(Storage::Static(bytes))
    }
}

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Content {
        Content(Storage::Static(text.as_bytes()))
    }
}

impl From<Arc<[u8]>> for Content {
    fn from(bytes: Arc<[u8]>) -> Content {
        Content(Storage::Shared(bytes))
    }
}

impl From<Arc<str>> for Content {
    fn from(text: Arc<str>) -> Content {
        Content(Storage::Shared(text.into()))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content(Storage::Owned(bytes))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content(Storage::Owned(text.into_bytes()))
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
