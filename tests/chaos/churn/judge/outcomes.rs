use std::collections::HashMap;

use serde_json::Value;

use super::{Fault, Wrong};
use crate::churn::history::{History, What};

/// The history of an action.
#[derive(Debug, Default)]
struct Action {
    sent: usize,
    told: Vec<String>,
}

/// A2: no action has two outcomes. Sockets overlap: what comes on one after another has asked to resume is for
/// nobody. An answer to a join or a leave may come as often as that was sent.
pub(crate) fn outcomes(history: &History) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut actions: HashMap<(String, u64), Action> = HashMap::new();
    let mut members: HashMap<String, u64> = HashMap::new();
    let mut newest = 0;
    for line in &history.lines {
        let frame = match &line.what {
            What::Out(frame) => frame,
            What::In(frame) if line.socket >= newest => frame,
            What::In(_) | What::Closed(_) | What::Note(_) => continue,
        };
        let outwards = matches!(line.what, What::Out(_));
        let t = frame["t"].as_str().unwrap_or_default();
        if outwards && t == "resume" {
            newest = newest.max(line.socket);
        } else if !outwards && t == "welcome" {
            // A session of its own, with numbers of its own.
            (actions, members) = Default::default();
        }
        let Some(room) = frame["room"].as_str() else {
            continue;
        };
        if t == "joined" || t == "snapshot" {
            members.insert(room.to_owned(), frame["member"].as_u64().unwrap_or(0));
        }
        if t == "snapshot" && frame["reason"] == "diverged" {
            let n = frame["n"].as_u64().unwrap_or(0);
            actions.retain(|(there, m), _| there != room || *m <= n);
        }
        let Some(n) = frame["n"].as_u64() else {
            continue;
        };
        let key = (room.to_owned(), n);
        if outwards {
            actions.entry(key).or_default().sent += 1;
            continue;
        }
        if !is_outcome(frame, t, members.get(room)) {
            continue;
        }
        let action = actions.entry(key).or_default();
        let told = format!("{t} {}", frame["pos"]);
        let answers = matches!(t, "joined" | "left");
        let before = action.told.len();
        action.told.push(told);
        let same = answers && action.told.iter().all(|told| told.starts_with(t));
        if before > 0 && !(same && action.told.len() <= action.sent) {
            let at = line.at.as_secs_f64();
            let what = format!(
                "{room} {n} has the outcomes {:?}, sent {} times; the last at {at:.3} s",
                action.told, action.sent
            );
            faults.push(Fault {
                wrong: Wrong::Outcomes,
                who: history.who.clone(),
                what,
            });
        }
    }
    faults
}

fn is_outcome(frame: &Value, t: &str, member: Option<&u64>) -> bool {
    match t {
        "joined" | "left" | "result" => true,
        "event" => member.is_some() && frame["by"].as_u64() == member.copied(),
        _ => false,
    }
}
