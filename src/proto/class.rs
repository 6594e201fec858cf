//! [`Class`]: which bytes the grammars allow, as tables: a target and its fields are looked up byte by byte.

/// ASCII letters, digits, and some bytes more.
pub(super) struct Class([bool; 256]);

/// `tchar` (RFC 9110, 5.6.2).
pub(super) static TOKEN: Class = Class::of(b"!#$%&'*+-.^_`|~");

/// `unreserved / sub-delims` (RFC 3986, 2).
pub(super) static REG_NAME: Class = Class::of(b"-._~!$&'()*+,;=");

/// `pchar`, `/` and `?` (RFC 3986, 3.3 and 3.4), but for what is percent-encoded.
pub(super) static PATH_AND_QUERY: Class = Class::of(b"-._~!$&'()*+,;=:@/?");

impl Class {
    const fn of(more: &[u8]) -> Class {
        let mut class = [false; 256];
        let mut byte = 0;
        while byte < class.len() {
            class[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut place = 0;
        while place < more.len() {
            class[more[place] as usize] = true;
            place += 1;
        }
        Class(class)
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}
