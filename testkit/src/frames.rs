//! Frames of clients, as JSON.

use serde_json::{Value, json};

/// Joins a room under a name.
pub fn join(room: &str, n: u64, name: &str) -> Value {
    json!({"t": "join", "room": room, "n": n, "data": {"name": name}})
}

/// Acts in a room.
pub fn act(room: &str, n: u64, data: Value) -> Value {
    json!({"t": "act", "room": room, "n": n, "data": data})
}

/// Says something in a chat room.
pub fn say(room: &str, n: u64, text: &str) -> Value {
    act(room, n, json!({"say": text}))
}

/// Leaves a room.
pub fn leave(room: &str, n: u64) -> Value {
    json!({"t": "leave", "room": room, "n": n})
}

/// Resumes the session of a `welcome`; `rooms` has the position in each room.
pub fn resume(welcome: &Value, rooms: Value) -> Value {
    json!({"t": "resume", "sid": welcome["sid"], "key": welcome["key"], "rooms": rooms})
}

/// Returns the entry of one room in `resume.rooms`.
pub fn room_of(room: &str, pos: &str) -> Value {
    json!({ room: pos })
}

/// Returns the texts that were said, in order.
pub fn said(frames: &[Value]) -> Vec<String> {
    let events = frames.iter().filter(|frame| frame["t"] == "event");
    events
        .filter_map(|frame| frame["data"]["said"].as_str().map(str::to_owned))
        .collect()
}
