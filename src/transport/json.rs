//! The JSON objects that polls, WebSockets and event streams send.

use crate::{Batch, Published};

/// The JSON object of a message: `{"id":ID,"topic":TOPIC,"data":TEXT}`, with `event` and `key` if it has them. In place of
/// `data` an end has `"done":true,"reason":TEXT`, and the removal of a key's value `"removed":true`.
pub(super) fn message_json(message: &Published) -> Vec<u8> {
    object(message, Some(&message.id().to_string()))
}

/// The same without the id: the data of an event, which has the id itself.
pub(super) fn notice_json(message: &Published) -> Vec<u8> {
    object(message, None)
}

fn object(message: &Published, id: Option<&str>) -> Vec<u8> {
    let mut json = Vec::with_capacity(64 + message.data().len());
    let (data, is_notice) = (Some(message.data()), message.is_end() || message.is_removed());
    let members = [
        ("{\"id\":", id),
        (if id.is_some() { ",\"topic\":" } else { "{\"topic\":" }, Some(message.topic())),
        (",\"event\":", message.event()),
        (",\"key\":", message.key()),
        (",\"done\":true,\"reason\":", data.filter(|_| message.is_end())),
        (",\"data\":", data.filter(|_| !is_notice)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            json.extend_from_slice(name.as_bytes());
            push_json(value, &mut json);
        }
    }
    json.extend_from_slice(if message.is_removed() { b",\"removed\":true}" } else { b"}" });
    json
}

/// Appends text as a JSON string.
fn push_json(text: &str, out: &mut Vec<u8>) {
    // Writing a string to a Vec can't fail.
    let _ = serde_json::to_writer(out, text);
}

/// The JSON object that tells of the gap of a batch, if it has one: up to where messages may be missing, and the cursor
/// from which to go on.
pub(super) fn gap_json(batch: &Batch) -> Option<String> {
    batch.gap.map(|until| format!(r#"{{"gap":true,"until":"{until}","next":"{}"}}"#, batch.from))
}
