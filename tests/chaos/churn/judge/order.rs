use std::collections::HashMap;

use serde_json::Value;

use super::{Fault, Wrong};
use crate::churn::history::{History, What};

/// Where a socket stands in a room.
#[derive(Debug, Default)]
struct Place {
    off: u64,
    inside: bool,
}

/// E1 and A2 on each socket: positions rise strictly, and to who is no member no events come.
pub(crate) fn order(history: &History) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut places: HashMap<(u64, String), Place> = HashMap::new();
    let mut asked: HashMap<u64, Value> = HashMap::new();
    for line in &history.lines {
        let frame = match &line.what {
            What::Out(frame) => {
                if frame["t"] == "resume" {
                    asked.insert(line.socket, frame["rooms"].clone());
                }
                continue;
            }
            What::In(frame) => frame,
            What::Closed(_) | What::Note(_) => continue,
        };
        if frame["t"] == "resumed" {
            for (room, how) in frame["rooms"].as_object().into_iter().flatten() {
                let from = asked.get(&line.socket).map_or(0, |asked| off(&asked[room]));
                let inside = how == "replay";
                let off = if inside { from } else { 0 };
                places.insert((line.socket, room.clone()), Place { off, inside });
            }
            continue;
        }
        let Some(room) = frame["room"].as_str() else {
            continue;
        };
        let place = places.entry((line.socket, room.to_owned())).or_default();
        let off = off(&frame["pos"]);
        let mut find = |what: &str, place: &Place| {
            let at = line.at.as_secs_f64();
            let what = format!(
                "{what}: socket {} stood at {} of {room} when at {at:.3} s came {frame:.300}",
                line.socket, place.off
            );
            faults.push(Fault {
                wrong: Wrong::Order,
                who: history.who.clone(),
                what,
            });
        };
        match frame["t"].as_str().unwrap_or_default() {
            "joined" => {
                // The room keeps the last outcome, and says it again to who asks again (A3).
                if off < place.off {
                    find("a join from before", place);
                }
                *place = Place { off, inside: true };
            }
            "snapshot" => {
                if off < place.off && frame["reason"] != "diverged" {
                    find("a state from before", place);
                }
                *place = Place { off, inside: true };
            }
            "event" | "notice" => {
                if !place.inside {
                    find("an entry for who is no member", place);
                } else if off <= place.off {
                    find("an entry twice, or late", place);
                }
                place.off = place.off.max(off);
            }
            // To who is no member, a refusal is an answer, and in no order.
            "result" if place.inside => {
                if off <= place.off {
                    find("a result twice, or late", place);
                }
                place.off = place.off.max(off);
            }
            "live" => {
                if off < place.off {
                    find("live at a place from before", place);
                }
                place.off = place.off.max(off);
            }
            "left" => place.inside = false,
            _ => {}
        }
    }
    faults
}

/// The same for an application: what it is told of a room rises strictly, whatever sockets, leaves and joins
/// are in between; a state that diverged begins anew. `told` are rooms, positions, and whether it is such a state.
pub(crate) fn app_order(who: &str, told: &[(String, u64, bool)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut stands: HashMap<&str, u64> = HashMap::new();
    for (room, off, anew) in told {
        let stood = stands.entry(room).or_default();
        if *anew {
            *stood = *off;
        } else if *off <= *stood {
            let what = format!("the application was told {off} of {room} when it stood at {stood}");
            faults.push(Fault {
                wrong: Wrong::Order,
                who: who.to_owned(),
                what,
            });
        } else {
            *stood = *off;
        }
    }
    faults
}

/// The number in a position; 0 where there is none.
pub(super) fn off(pos: &Value) -> u64 {
    let number = pos.as_str().and_then(|pos| pos.split('-').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
