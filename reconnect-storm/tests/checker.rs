//! The checker catches what it is there for: a good run, spoilt in one place, is never judged clean.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[path = "support/watched.rs"]
mod watched;

use std::{collections::BTreeMap, time::Instant};

use outlast_protocol::{Limits, Payload, Pos, RoomName, ServerFrame, SnapshotReason, Welcome};
use reconnect_storm::{
    Ask, Case, Logged, LoggedBody, Marks, Outcome, Record, RoomLog, Seen, Sighting, Tally, Verdict,
    Wrong, check,
};
use serde_json::json;

use self::watched::watched;

/// A good run: three members of one room, each saying something in turn.
struct Run {
    room: RoomName,
    log: RoomLog,
    records: Vec<Record>,
}

const MEMBERS: u32 = 3;
const ROUNDS: u64 = 10;

impl Run {
    fn good() -> Self {
        let room: RoomName = "chat/a".parse().unwrap();
        let records = (0..MEMBERS).map(|_| Record::default()).collect();
        let mut run = Run {
            room,
            log: RoomLog::default(),
            records,
        };
        for member in 1..=MEMBERS {
            let entered = json!({"entered": {"member": member, "name": "x"}});
            let pos = run.logs(member, 1, true, &entered);
            let room = run.room.clone();
            let state = Payload::null();
            run.note(member, Seen::Heard(welcome()));
            run.note(
                member,
                Seen::Asked {
                    id: 0,
                    room: room.clone(),
                    n: 1,
                    ask: Ask::Join(None),
                },
            );
            run.note(
                member,
                Seen::Heard(ServerFrame::Joined {
                    room,
                    n: 1,
                    member,
                    pos,
                    state,
                }),
            );
            run.note(
                member,
                Seen::Settled {
                    id: 0,
                    outcome: Outcome::Joined,
                },
            );
            run.hears(1..member, pos);
        }
        for n in 2..=ROUNDS {
            for member in 1..=MEMBERS {
                let (id, text, room) = (n as usize - 1, format!("{member}:{n}"), run.room.clone());
                let ask = Ask::Act(Payload::from(&json!({"say": text})));
                run.note(member, Seen::Asked { id, room, n, ask });
                let pos = run.logs(member, n, false, &json!({"said": text}));
                run.hears(1..=MEMBERS, pos);
                run.note(
                    member,
                    Seen::Settled {
                        id,
                        outcome: Outcome::Event(pos),
                    },
                );
            }
        }
        run
    }

    fn logs(&mut self, by: u32, n: u64, quiet: bool, data: &serde_json::Value) -> Pos {
        let off = self.log.entries.len() as u64 + 1;
        let pos = Pos {
            off,
            tag: off * 7919,
        };
        let body = LoggedBody::Event {
            by: Some(by),
            n: Some(n),
            quiet,
            data: Payload::from(data),
        };
        self.log.entries.push(Logged { pos, body });
        pos
    }

    fn hears(&mut self, members: impl IntoIterator<Item = u32>, pos: Pos) {
        let LoggedBody::Event { by, n, data, .. } =
            self.log.entries[pos.off as usize - 1].body.clone()
        else {
            unreachable!("only events are logged here");
        };
        for member in members {
            let (room, data) = (self.room.clone(), data.clone());
            self.note(
                member,
                Seen::Heard(ServerFrame::Event {
                    room,
                    pos,
                    by,
                    n,
                    data,
                }),
            );
        }
    }

    fn note(&mut self, member: u32, what: Seen) {
        self.records[member as usize - 1].push(Instant::now(), what);
    }

    fn judge(&self) -> Verdict {
        check(&Case {
            clients: &self.records,
            logs: &BTreeMap::from([(self.room.clone(), self.log.clone())]),
            marks: Marks::CHAT,
            complete: true,
            excused: &[],
            sessions_may_go: false,
        })
    }

    /// The same while it goes on: what watchers make of it.
    fn watch(&self) -> Tally {
        watched(&self.records)
    }

    /// Whether nobody else saw what a member saw.
    fn is_alone_with(&self, member: u32, at: usize) -> bool {
        let seen = &self.records[member as usize - 1].sightings[at].what;
        let others = self
            .records
            .iter()
            .filter(|record| record.count(|other| other == seen) > 0);
        others.count() == 1
    }

    /// Where events stand in a member's record.
    fn events(&self, member: u32) -> Vec<usize> {
        let is_event =
            |seen: &Sighting| matches!(seen.what, Seen::Heard(ServerFrame::Event { .. }));
        let seen = &self.records[member as usize - 1].sightings;
        (0..seen.len()).filter(|at| is_event(&seen[*at])).collect()
    }
}

fn welcome() -> ServerFrame {
    ServerFrame::Welcome {
        welcome: Welcome {
            sid: Default::default(),
            key: "k".into(),
            generation: 1,
            ttl_ms: 1,
            heartbeat_ms: 1,
            limits: Limits {
                frame_bytes: 1,
                actions_per_s: 1,
            },
        },
    }
}

/// Spoils a good run once for each event that a member saw.
fn spoil_each_event(spoil: impl Fn(&mut Run, u32, usize), wrong: Wrong) {
    for member in 1..=MEMBERS {
        for at in Run::good().events(member) {
            let mut run = Run::good();
            spoil(&mut run, member, at);
            let verdict = run.judge();
            assert!(
                verdict.count(wrong) > 0,
                "member {member}, sighting {at}: {verdict}"
            );
            // Without the store's log, somebody else has to have seen it.
            let tally = run.watch();
            assert!(
                tally.count(wrong) > 0 || Run::good().is_alone_with(member, at),
                "member {member}, sighting {at}: {tally}"
            );
        }
    }
}

#[test]
fn a_good_run_is_judged_clean() {
    let verdict = Run::good().judge();
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.actions_settled, MEMBERS as usize * ROUNDS as usize);
    let tally = Run::good().watch();
    assert!(tally.is_clean(), "{tally}: {:?}", tally.examples);
    assert_eq!(tally.actions_settled, u64::from(MEMBERS) * ROUNDS);
    assert_eq!(tally.entries, verdict.entries_seen as u64);
    assert!(
        verdict
            .to_string()
            .starts_with("lost 0, doubled 0, out of order 0"),
        "{verdict}"
    );
}

#[test]
fn e1_catches_a_lost_event() {
    let lose = |run: &mut Run, member: u32, at: usize| {
        run.records[member as usize - 1].sightings.remove(at);
    };
    spoil_each_event(lose, Wrong::Lost);
}

#[test]
fn e1_catches_a_doubled_event() {
    let double = |run: &mut Run, member: u32, at: usize| {
        let seen = &mut run.records[member as usize - 1].sightings;
        seen.insert(at + 1, seen[at].clone());
    };
    spoil_each_event(double, Wrong::Doubled);
    let repeat_at_the_end = |run: &mut Run, member: u32, at: usize| {
        let seen = &mut run.records[member as usize - 1].sightings;
        seen.push(seen[at].clone());
    };
    spoil_each_event(repeat_at_the_end, Wrong::Doubled);
}

#[test]
fn e1_catches_two_swapped_events() {
    for member in 1..=MEMBERS {
        let events = Run::good().events(member);
        for (one, other) in events.iter().zip(&events[1..]) {
            let mut run = Run::good();
            run.records[member as usize - 1]
                .sightings
                .swap(*one, *other);
            let verdict = run.judge();
            assert!(
                verdict.count(Wrong::OutOfOrder) > 0,
                "member {member}: {verdict}"
            );
            let tally = run.watch();
            assert!(tally.count(Wrong::OutOfOrder) > 0, "{tally}");
            assert_eq!(tally.count(Wrong::Lost), 0, "{tally}");
            assert_eq!(
                verdict.count(Wrong::Lost),
                0,
                "what came late is not lost: {verdict}"
            );
        }
    }
}

#[test]
fn e1_catches_two_clients_that_saw_different_things() {
    let differ = |run: &mut Run, member: u32, at: usize| {
        if let Seen::Heard(ServerFrame::Event { data, .. }) =
            &mut run.records[member as usize - 1].sightings[at].what
        {
            *data = Payload::from(&json!({"said": "something else"}));
        }
    };
    spoil_each_event(differ, Wrong::Differing);
    let other_tag = |run: &mut Run, member: u32, at: usize| {
        if let Seen::Heard(ServerFrame::Event { pos, .. }) =
            &mut run.records[member as usize - 1].sightings[at].what
        {
            pos.tag += 1;
        }
    };
    spoil_each_event(other_tag, Wrong::Differing);
}

#[test]
fn a1_catches_an_action_that_was_applied_twice() {
    // Under the same number, and under one of its own: the text tells.
    for n in [5, 99] {
        let mut run = Run::good();
        let pos = run.logs(2, n, false, &json!({"said": "2:5"}));
        run.hears(1..=MEMBERS, pos);
        let verdict = run.judge();
        assert!(verdict.count(Wrong::Doubled) > 0, "{verdict}");
        let tally = run.watch();
        assert!(tally.count(Wrong::Doubled) > 0, "{tally}");
    }
}

#[test]
fn a1_catches_an_unacknowledged_action_that_was_applied_twice() {
    let mut run = Run::good();
    let (id, room) = (50, run.room.clone());
    let ask = Ask::Act(Payload::from(&json!({"say": "open"})));
    run.note(
        1,
        Seen::Asked {
            id,
            room,
            n: 11,
            ask,
        },
    );
    assert!(run.judge().is_clean());
    for n in [11, 12] {
        let pos = run.logs(1, n, false, &json!({"said": "open"}));
        run.hears(1..=MEMBERS, pos);
    }
    assert!(run.judge().count(Wrong::Doubled) > 0);
    assert!(run.watch().count(Wrong::Doubled) > 0);
}

#[test]
fn a2_catches_an_acknowledged_action_that_is_not_in_the_log() {
    for n in 2..=ROUNDS {
        let mut run = Run::good();
        let text = format!("1:{n}");
        let is_it = |data: &Payload| data.as_json().contains(&format!("\"{text}\""));
        for entry in &mut run.log.entries {
            if let LoggedBody::Event { data, n, .. } = &mut entry.body
                && is_it(data)
            {
                (*data, *n) = (Payload::from(&json!({"said": "forged"})), None);
            }
        }
        // Nobody saw it either: only the acknowledgement is left.
        for record in &mut run.records {
            for seen in &mut record.sightings {
                if let Seen::Heard(ServerFrame::Event { data, n, .. }) = &mut seen.what
                    && is_it(data)
                {
                    (*data, *n) = (Payload::from(&json!({"said": "forged"})), None);
                }
            }
        }
        let verdict = run.judge();
        assert!(verdict.count(Wrong::Lost) > 0, "{verdict}");
        let tally = run.watch();
        assert!(tally.count(Wrong::Lost) > 0, "{tally}");
    }
}

#[test]
fn a5_catches_an_action_that_was_refused_and_applied() {
    let mut run = Run::good();
    let (id, room) = (50, run.room.clone());
    let ask = Ask::Act(Payload::from(&json!({"say": "refused"})));
    run.note(
        1,
        Seen::Asked {
            id,
            room,
            n: 11,
            ask,
        },
    );
    let outcome = Outcome::NotTaken {
        code: "forbidden".into(),
    };
    run.note(1, Seen::Settled { id, outcome });
    assert!(run.judge().is_clean());
    let pos = run.logs(1, 11, false, &json!({"said": "refused"}));
    run.hears(1..=MEMBERS, pos);
    assert!(run.judge().count(Wrong::Doubled) > 0);
}

#[test]
fn e1_catches_a_hole_in_the_log_itself() {
    let mut run = Run::good();
    run.log.entries.remove(12);
    assert!(run.judge().count(Wrong::Lost) > 0);
}

/// Member 1 loses its socket, misses the last events and comes back.
fn comes_back(reason: Option<SnapshotReason>, asked: bool, n: u64) -> Verdict {
    let mut run = Run::good();
    let (room, missed) = (run.room.clone(), run.events(1).len() - 4);
    let from = run.events(1)[missed];
    let end = run.log.entries.last().unwrap().pos;
    let seen = &mut run.records[0].sightings;
    let ServerFrame::Event { pos: last, .. } = (match &seen[from - 1].what {
        Seen::Heard(frame) => frame.clone(),
        _ => panic!("an event stands before the last four"),
    }) else {
        panic!("an event stands before the last four");
    };
    let behind = seen.split_off(from);
    seen.push(Sighting {
        at: Instant::now(),
        what: Seen::Lost { code: None },
    });
    let rooms = BTreeMap::from([(room.clone(), asked.then_some(last))]);
    run.note(1, Seen::Resuming { rooms });
    let ServerFrame::Welcome { welcome } = welcome() else {
        unreachable!("it is one")
    };
    run.note(
        1,
        Seen::Heard(ServerFrame::Resumed {
            welcome,
            rooms: BTreeMap::new(),
        }),
    );
    match reason {
        None => run.records[0].sightings.extend(behind),
        Some(reason) => {
            let frame = ServerFrame::Snapshot {
                room: room.clone(),
                pos: end,
                state: Payload::null(),
                member: 1,
                n,
                reason,
            };
            run.note(1, Seen::Heard(frame));
            run.note(
                1,
                Seen::Settled {
                    id: 9,
                    outcome: Outcome::Unknown,
                },
            );
        }
    }
    run.note(1, Seen::Heard(ServerFrame::Live { room, pos: end }));
    run.judge()
}

#[test]
fn r1_a_replay_or_an_explained_snapshot_is_judged_clean() {
    for (reason, asked) in [
        (None, true),
        (Some(SnapshotReason::Shorter), true),
        (Some(SnapshotReason::Requested), false),
    ] {
        let verdict = comes_back(reason, asked, ROUNDS);
        assert!(verdict.is_clean(), "{reason:?}: {verdict}");
    }
}

#[test]
fn r3_catches_a_snapshot_that_nothing_explains() {
    for reason in [
        SnapshotReason::Trimmed,
        SnapshotReason::Diverged,
        SnapshotReason::Requested,
    ] {
        let verdict = comes_back(Some(reason), true, ROUNDS);
        assert_eq!(verdict.count(Wrong::Snapshot), 1, "{reason:?}: {verdict}");
    }
}

#[test]
fn r5_catches_a_snapshot_that_does_not_know_what_was_settled() {
    let verdict = comes_back(Some(SnapshotReason::Shorter), true, 3);
    assert!(verdict.count(Wrong::Snapshot) > 0, "{verdict}");
}

#[test]
fn r1_catches_live_before_everything_came() {
    let mut run = Run::good();
    let (room, pos) = (run.room.clone(), run.log.entries.last().unwrap().pos);
    let last = *run.events(1).last().unwrap();
    run.records[0].sightings.truncate(last);
    run.note(1, Seen::Heard(ServerFrame::Live { room, pos }));
    assert!(run.judge().count(Wrong::Lost) > 0);
}
