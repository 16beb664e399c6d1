use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{Fault, Wrong};
use crate::churn::history::{History, What};

/// The messages that have no word yet: since when, on which socket, and whether it is an act.
type Waiting = BTreeMap<(String, u64), (Duration, u64, bool)>;

/// Every action has a word within its time, on its socket, or that socket ends: an outcome, an `error` with its
/// number, `gap`, `busy` or `bye`. `end` is when the history was closed.
pub(crate) fn stuck(history: &History, within: Duration, end: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut waiting = Waiting::new();
    for line in &history.lines {
        let mut words = Vec::new();
        match &line.what {
            What::Out(frame) => {
                let of_room = frame["room"].as_str().zip(frame["n"].as_u64());
                if let Some((room, n)) = of_room {
                    let since = (line.at, line.socket, frame["t"] == "act");
                    waiting.insert((room.to_owned(), n), since);
                }
            }
            What::In(frame) => words = has_word(frame, line.socket, &waiting),
            What::Closed(_) => {
                let on_it = waiting.iter().filter(|(_, (_, on, _))| *on == line.socket);
                words = on_it.map(|(action, _)| action.clone()).collect();
            }
            What::Note(_) => {}
        }
        for action in words {
            if let Some((since, ..)) = waiting.remove(&action) {
                faults.extend(late(history, &action, since, line.at, within));
            }
        }
    }
    for (action, (since, ..)) in &waiting {
        faults.extend(late(history, action, *since, end, within));
    }
    faults
}

/// Which actions a frame says something of.
fn has_word(frame: &Value, socket: u64, waiting: &Waiting) -> Vec<(String, u64)> {
    let t = frame["t"].as_str().unwrap_or_default();
    let (room, n) = (frame["room"].as_str(), frame["n"].as_u64());
    let meant = |((there, m), (_, on, is_act)): &(&(String, u64), &(Duration, u64, bool))| {
        let here = room == Some(there.as_str());
        match (t, n) {
            ("busy" | "bye", _) => *on == socket,
            ("gap", _) | ("left", None) => here,
            ("result", Some(n)) if frame["ok"] == true => here && *m <= n && (*is_act || *m == n),
            ("joined" | "snapshot" | "left", Some(n)) => here && *m <= n,
            ("event" | "result" | "error", Some(n)) => here && *m == n,
            _ => false,
        }
    };
    let meant = waiting.iter().filter(meant);
    meant.map(|(action, _)| action.clone()).collect()
}

fn late(
    history: &History,
    (room, n): &(String, u64),
    since: Duration,
    at: Duration,
    within: Duration,
) -> Option<Fault> {
    let waited = at.saturating_sub(since);
    (waited > within).then(|| Fault {
        wrong: Wrong::Stuck,
        who: history.who.clone(),
        what: format!(
            "{room} {n}, sent at {:.3} s, had no word for {waited:.1?}",
            since.as_secs_f64()
        ),
    })
}

/// Everything has an outcome in the end.
pub(crate) fn unsettled(who: &str, waiting: &[String]) -> Option<Fault> {
    (!waiting.is_empty()).then(|| Fault {
        wrong: Wrong::Stuck,
        who: who.to_owned(),
        what: format!("without an outcome in the end: {waiting:?}"),
    })
}
