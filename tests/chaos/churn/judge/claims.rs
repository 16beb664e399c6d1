use std::collections::{BTreeMap, HashMap};

use outlast_protocol::RoomName;
use reconnect_storm::{LoggedBody, RoomLog};
use serde_json::Value;

use super::{Fault, Wrong};

/// Something that somebody said or posted, in words that nobody else uses, and where it stands, as far as it
/// was told.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) who: String,
    pub(crate) room: String,
    pub(crate) text: String,
    pub(crate) pos: Option<String>,
}

/// Checks that what was told stands in the log, there and once; what nobody knows of stands there at most once.
pub(crate) fn claims(logs: &BTreeMap<RoomName, RoomLog>, claims: &[Claim]) -> Vec<Fault> {
    let mut stands: HashMap<(String, String), Vec<String>> = HashMap::new();
    for (room, log) in logs {
        for entry in &log.entries {
            let LoggedBody::Event { data, .. } = &entry.body else {
                continue;
            };
            let data: Value = data.read().unwrap_or_default();
            let said = data["said"].as_str().or(data["posted"]["text"].as_str());
            if let Some(said) = said {
                let key = (room.to_string(), said.to_owned());
                stands.entry(key).or_default().push(entry.pos.to_string());
            }
        }
    }
    let mut faults = Vec::new();
    for Claim {
        who,
        room,
        text,
        pos,
    } in claims
    {
        let found = stands.get(&(room.clone(), text.clone()));
        let found = found.map_or(&[][..], Vec::as_slice);
        let right = match pos {
            Some(pos) => found == [pos.clone()],
            None => found.len() <= 1,
        };
        if !right {
            faults.push(Fault {
                wrong: Wrong::Log,
                who: who.clone(),
                what: format!("{text:?} in {room} was told to be at {pos:?}, and is at {found:?}"),
            });
        }
    }
    faults
}
