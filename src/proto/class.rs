//! [`Class`]: which bytes a grammar allows. It is a table, since each byte of a request-target and of a field name is looked
//! up.

/// A class of bytes: one bit in each entry of the table.
#[derive(Clone, Copy)]
pub(super) struct Class(u8);

/// `tchar` (RFC 9110, 5.6.2).
pub(super) const TOKEN: Class = Class(1);

/// `unreserved / sub-delims` (RFC 3986, 2).
pub(super) const REG_NAME: Class = Class(2);

/// The bytes that stand in a path without percent-encoding: `pchar` and `/` (RFC 3986, 3.3), and the bytes that browsers do
/// not encode there. (The path percent-encode set of the URL standard lacks `[ ] |`. It has `^` since 2025, but not all
/// clients follow yet. No browser sends a `\`: browsers turn it into a `/`.)
pub(super) const PATH: Class = Class(4);

/// The bytes that stand in a query without percent-encoding: `pchar`, `/` and `?` (RFC 3986, 3.4), and all printable bytes
/// that the query percent-encode set of the URL standard lacks, which browsers do not encode there.
pub(super) const QUERY: Class = Class(8);

const TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = TOKEN.0 | REG_NAME.0 | PATH.0 | QUERY.0;
        }
        byte += 1;
    }
    let table = with(table, b"!#$%&'*+-.^_`|~", TOKEN);
    let table = with(table, b"-._~!$&'()*+,;=", REG_NAME);
    let table = with(table, b"-._~!$&'()*+,;=:@/[]|^", PATH);
    with(table, b"-._~!$&'()*+,;=:@/?[]|^{}`\\", QUERY)
};

const fn with(mut table: [u8; 256], bytes: &[u8], class: Class) -> [u8; 256] {
    let mut place = 0;
    // Never taken at run time: the compiler makes the table.
    while place < bytes.len() {
        table[bytes[place] as usize] |= class.0;
        place += 1;
    }
    table
}

impl Class {
    pub(super) const fn has(self, byte: u8) -> bool {
        self.of(byte) != 0
    }

    pub(super) fn has_all(self, a: u8, b: u8, c: u8, d: u8) -> bool {
        self.of(a) & self.of(b) & self.of(c) & self.of(d) != 0
    }

    const fn of(self, byte: u8) -> u8 {
        TABLE[byte as usize] & self.0
    }
}
