//! An event is refused, or a client of the WHATWG's text reads back just that event.

use tidings::{Error, Event};

use super::input::Input;

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut stream, mut expected) = (Vec::new(), Client::default());
    while !input.is_empty() {
        let parts = Parts::draw(&mut input);
        match parts.event().encode() {
            Ok(bytes) => {
                assert!(parts.is_legal() && !bytes.contains(&b'\r'));
                // An empty line ends it, so that events stand alone.
                assert!(bytes == b"\n" || bytes.ends_with(b"\n\n"));
                stream.extend_from_slice(&bytes);
                parts.happen(&mut expected);
            }
            Err(error) => assert!(matches!(error, Error::Misuse(_)) && !parts.is_legal()),
        }
    }
    assert_eq!(Client::read(std::str::from_utf8(&stream).expect("text")), expected);
}

/// What an event is made of.
#[derive(Default)]
struct Parts {
    data: Option<String>,
    comment: Option<String>,
    id: Option<String>,
    name: Option<String>,
    retry: Option<u64>,
}

impl Parts {
    fn draw(input: &mut Input<'_>) -> Parts {
        let which = input.byte();
        let has = |bit: u8| which & 1 << bit != 0;
        let mut parts = Parts::default();
        match which % 4 {
            0 => parts.comment = Some(input.text()),
            1 => {}
            _ => parts.data = Some(input.text()),
        }
        parts.id = has(2).then(|| input.text());
        parts.name = has(3).then(|| input.text());
        parts.retry = has(4).then(|| input.take(8).iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        parts
    }

    fn event(&self) -> Event<'_> {
        let mut event = match (&self.data, &self.comment) {
            (Some(data), _) => Event::data(data),
            (_, Some(comment)) => Event::comment(comment),
            _ => Event::new(),
        };
        if let Some(id) = &self.id {
            event = event.id(id);
        }
        if let Some(name) = &self.name {
            event = event.name(name);
        }
        if let Some(retry) = self.retry {
            event = event.retry(retry);
        }
        event
    }

    fn is_legal(&self) -> bool {
        let lines = [&self.id, &self.name, &self.comment].into_iter().flatten();
        let nul = self.id.as_ref().is_some_and(|id| id.contains('\0'));
        lines.clone().count() == lines.filter(|text| !text.contains(['\r', '\n'])).count() && !nul
    }

    /// What it does to a client.
    fn happen(&self, client: &mut Client) {
        if let Some(id) = &self.id {
            client.last_id.clone_from(id);
        }
        if let Some(retry) = self.retry {
            client.retry = Some(retry.to_string());
        }
        if let Some(data) = &self.data {
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            let name = self.name.clone().filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| "message".to_owned());
            client.events.push((name, data, client.last_id.clone()));
        }
    }
}

/// A client as WHATWG HTML, 9.2.6 tells it to read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Client {
    /// Type, data and last event ID of each event that was dispatched.
    events: Vec<(String, String, String)>,
    last_id: String,
    retry: Option<String>,
}

impl Client {
    fn read(stream: &str) -> Client {
        let mut client = Client::default();
        let (mut data, mut kind, mut id) = (String::new(), String::new(), String::new());
        // Lines end in CRLF, LF or CR; what is not ended at the end of the file is discarded.
        let mut rest = stream.strip_prefix('\u{feff}').unwrap_or(stream);
        while let Some(end) = rest.find(['\r', '\n']) {
            let (line, tail) = rest.split_at(end);
            rest = tail.strip_prefix("\r\n").unwrap_or_else(|| &tail[1..]);
            // If the line is empty: dispatch the event.
            if line.is_empty() {
                client.last_id.clone_from(&id);
                let (mut text, name) = (std::mem::take(&mut data), std::mem::take(&mut kind));
                if text.is_empty() {
                    continue;
                }
                if text.ends_with('\n') {
                    text.pop();
                }
                let name = if name.is_empty() { "message".to_owned() } else { name };
                client.events.push((name, text, id.clone()));
                continue;
            }
            // If the line starts with a colon: ignore it. If it has none, it is a name, and the value is empty.
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut kind),
                "data" => data.extend([value, "\n"]),
                "id" if !value.contains('\0') => value.clone_into(&mut id),
                "retry" if value.bytes().all(|b| b.is_ascii_digit()) => client.retry = Some(value.to_owned()),
                _ => {}
            }
        }
        client
    }
}
