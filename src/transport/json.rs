//! The JSON objects that polls, WebSockets and event streams send.

use crate::{Batch, Published};

/// The JSON object of a message: `{"id":ID,"topic":TOPIC,"data":TEXT}`, with `event` and `key` if it has them.
pub(super) fn message_json(message: &Published) -> Vec<u8> {
    let mut json = Vec::with_capacity(64 + message.data().len());
    let id = message.id().to_string();
    let members = [
        ("{\"id\":", Some(&*id)),
        (",\"topic\":", Some(message.topic())),
        (",\"event\":", message.event()),
        (",\"key\":", message.key()),
        (",\"data\":", Some(message.data())),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            json.extend_from_slice(name.as_bytes());
            push_json(value, &mut json);
        }
    }
    json.push(b'}');
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
