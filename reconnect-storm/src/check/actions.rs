//! What became of each action, beside what the logs say of it.

use std::collections::{BTreeMap, HashMap};

use outlast_protocol::{Member, Pos, RoomName, ServerFrame, SnapshotReason};
use serde_json::Value;

use super::{Case, LoggedBody, Marks, RoomLog, Verdict, Wrong};
use crate::{ActionId, Ask, Outcome, Record, Seen};

/// Every action of every client.
pub(super) fn check(case: &Case<'_>, verdict: &mut Verdict) {
    let applied = applied(case);
    for (client, record) in case.clients.iter().enumerate() {
        for action in history(client, record, case, verdict).values() {
            judge(case, client, action, &applied, verdict);
        }
    }
}

/// Where the logs show each mark.
type Applied<'a> = HashMap<(&'a RoomName, String), Vec<Pos>>;

/// One action of one client.
struct Action<'a> {
    room: &'a RoomName,
    n: u64,
    mark: Option<String>,
    /// What became of it, and who the client was in the room by then.
    settled: Option<(&'a Outcome, Option<Member>)>,
}

fn applied<'a>(case: &Case<'a>) -> Applied<'a> {
    let mut applied = Applied::new();
    for (room, log) in case.logs {
        for entry in &log.entries {
            let LoggedBody::Event { data, .. } = &entry.body else {
                continue;
            };
            if let Some(mark) = data
                .read::<Value>()
                .ok()
                .and_then(|data| (case.marks.of_event)(&data))
            {
                applied.entry((room, mark)).or_default().push(entry.pos);
            }
        }
    }
    applied
}

fn history<'a>(
    client: usize,
    record: &'a Record,
    case: &Case<'_>,
    verdict: &mut Verdict,
) -> BTreeMap<ActionId, Action<'a>> {
    let mut actions: BTreeMap<ActionId, Action<'a>> = BTreeMap::new();
    let mut members: HashMap<&RoomName, Member> = HashMap::new();
    let mut settled_n: HashMap<&RoomName, u64> = HashMap::new();
    for sighting in &record.sightings {
        match &sighting.what {
            Seen::Asked { id, room, n, ask } => {
                let mark = mark(case.marks, ask);
                actions.insert(
                    *id,
                    Action {
                        room,
                        n: *n,
                        mark,
                        settled: None,
                    },
                );
            }
            Seen::Renumbered { id, n } => {
                if let Some(action) = actions.get_mut(id) {
                    action.n = *n;
                }
            }
            Seen::Settled { id, outcome } => {
                if let Some(action) = actions.get_mut(id) {
                    action.settled = Some((outcome, members.get(action.room).copied()));
                    let highest = settled_n.entry(action.room).or_default();
                    if !matches!(outcome, Outcome::NotTaken { .. }) {
                        *highest = (*highest).max(action.n);
                    }
                }
            }
            Seen::Heard(ServerFrame::Joined { room, member, .. }) => {
                members.insert(room, *member);
            }
            Seen::Heard(ServerFrame::Snapshot {
                room,
                member,
                n,
                reason,
                ..
            }) => {
                members.insert(room, *member);
                let settled = settled_n.get(room).copied().unwrap_or(0);
                if *n < settled && *reason != SnapshotReason::Diverged {
                    let what = format!("it knows of action {n}, but {settled} was settled");
                    verdict.find(Wrong::Snapshot, Some(client), Some(room), what);
                }
                settled_n.insert(room, *n);
            }
            Seen::SessionGone => {
                members.clear();
                settled_n.clear();
            }
            Seen::Connecting { .. }
            | Seen::Resuming { .. }
            | Seen::Heard(_)
            | Seen::Garbled(_)
            | Seen::Lost { .. }
            | Seen::Silenced
            | Seen::Moved
            | Seen::Stopped { .. } => {}
        }
    }
    actions
}

fn mark(marks: Marks, ask: &Ask) -> Option<String> {
    let Ask::Act(data) = ask else {
        return None;
    };
    (marks.of_act)(&data.read().ok()?)
}

fn judge(
    case: &Case<'_>,
    client: usize,
    action: &Action<'_>,
    applied: &Applied<'_>,
    verdict: &mut Verdict,
) {
    let Action {
        room,
        n,
        mark,
        settled,
    } = action;
    let shown = match mark {
        Some(mark) => applied
            .get(&(*room, mark.clone()))
            .map_or(&[][..], Vec::as_slice),
        None => &[],
    };
    let mut find = |wrong: Wrong, what: String| {
        let mark = mark.as_deref().unwrap_or("");
        verdict.find(
            wrong,
            Some(client),
            Some(room),
            format!("action {n} {mark:?} {what}"),
        );
    };
    if shown.len() > 1 {
        find(
            Wrong::Doubled,
            format!("was applied {} times: {shown:?}", shown.len()),
        );
    }
    let log = case.logs.get(*room);
    match settled {
        Some((Outcome::Event(pos), member)) => {
            let own = |body: &LoggedBody| matches!(body, LoggedBody::Event { by, n: m, .. } if by == member && *m == Some(*n));
            if !stands(log, *pos, own)
                || (mark.is_some() && shown.is_empty() && !trimmed(log, *pos))
            {
                find(
                    Wrong::Lost,
                    format!("was acknowledged at {pos}, but is not in the log there"),
                );
            }
        }
        Some((Outcome::Taken(pos), member)) => {
            // To who is no member any more, an event is told as a result (A3): who it was in the room it may not know.
            let own = |body: &LoggedBody| match body {
                LoggedBody::Result { to, n: m, ok } => {
                    *ok && m >= n && member.is_none_or(|member| member == *to)
                }
                LoggedBody::Event { by, n: m, .. } => {
                    *m == Some(*n) && by.is_some() && (member.is_none() || by == member)
                }
                LoggedBody::Notice { .. } => false,
            };
            if !stands(log, *pos, own) {
                find(
                    Wrong::Lost,
                    format!("was taken at {pos}, but the log does not say so"),
                );
            }
        }
        Some((Outcome::Refused { pos, .. }, _)) => {
            let own = |body: &LoggedBody| matches!(body, LoggedBody::Result { n: m, ok: false, .. } if m == n);
            if !stands(log, *pos, own) {
                find(
                    Wrong::Lost,
                    format!("was refused at {pos}, but the log does not say so"),
                );
            }
            if !shown.is_empty() {
                find(
                    Wrong::Doubled,
                    format!("was refused, and applied at {shown:?}"),
                );
            }
        }
        Some((Outcome::NotTaken { .. }, _)) if !shown.is_empty() => {
            find(
                Wrong::Doubled,
                format!("was not taken, and applied at {shown:?}"),
            );
        }
        Some((
            Outcome::NotTaken { .. }
            | Outcome::Joined
            | Outcome::Left
            | Outcome::Unknown
            | Outcome::Lost,
            _,
        ))
        | None => {}
    }
    match settled {
        Some(_) => verdict.actions_settled += 1,
        None => verdict.actions_open += 1,
    }
}

fn stands(log: Option<&RoomLog>, pos: Pos, own: impl Fn(&LoggedBody) -> bool) -> bool {
    let entry = log.and_then(|log| log.at(pos.off));
    trimmed(log, pos) || entry.is_some_and(|entry| entry.pos == pos && own(&entry.body))
}

fn trimmed(log: Option<&RoomLog>, pos: Pos) -> bool {
    log.is_some_and(|log| pos.off < log.first_off())
}
