//! The judge catches what it is there for: a good run, spoilt in one place, is never judged clean.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, time::Instant};

use outlast_protocol::{Codec, Payload, Pos, RoomName, ServerFrame, Sid, SnapshotReason};
use reconnect_storm::{
    Ask, Case, Logged, LoggedBody, Observation, Outcome, Record, RoomLog, Seen, Verdict, Violation,
    check,
};
use serde_json::{Value, json};

const MEMBERS: u32 = 3;
const ROUNDS: u64 = 10;

/// A good run: three members of one room, each saying something in turn.
#[derive(Clone)]
struct Run {
    room: RoomName,
    log: RoomLog,
    records: Vec<Record>,
}

impl Run {
    fn good() -> Self {
        let mut run = Run {
            room: "chat/a".parse().unwrap(),
            log: RoomLog::default(),
            records: vec![Record::default(); MEMBERS as usize],
        };
        for member in 1..=MEMBERS {
            let pos = run.logs(member, 1, true, json!({"entered": {"member": member}}));
            run.heard(member, welcome("welcome"));
            run.asks(member, 0, 1, Ask::Join(None));
            let joined = json!({"t": "joined", "room": run.room, "n": 1, "member": member, "pos": pos, "state": null});
            run.heard(member, joined);
            run.settled(member, 0, Outcome::Joined);
            run.all_hear(1..member, pos);
        }
        for n in 2..=ROUNDS {
            for member in 1..=MEMBERS {
                let (id, text) = (n as usize - 1, format!("{member}:{n}"));
                run.asks(member, id, n, say(&text));
                let pos = run.said(member, n, &text);
                run.settled(member, id, Outcome::Event(pos));
            }
        }
        run
    }

    fn logs(&mut self, by: u32, n: u64, quiet: bool, data: Value) -> Pos {
        let off = self.log.entries.len() as u64 + 1;
        let tag = off * 7919;
        let (by, n, data) = (Some(by), Some(n), Payload::from(&data));
        let body = LoggedBody::Event { by, n, quiet, data };
        let pos = Pos { off, tag };
        self.log.entries.push(Logged { pos, body });
        pos
    }

    /// Somebody has said something, and everybody has heard it.
    fn said(&mut self, by: u32, n: u64, text: &str) -> Pos {
        let pos = self.logs(by, n, false, json!({"said": text}));
        self.all_hear(1..=MEMBERS, pos);
        pos
    }

    fn all_hear(&mut self, members: impl IntoIterator<Item = u32>, pos: Pos) {
        let body = self.log.entries[pos.off as usize - 1].body.clone();
        let LoggedBody::Event { by, n, data, .. } = body else {
            unreachable!("only events are logged here");
        };
        let event =
            json!({"t": "event", "room": self.room, "pos": pos, "by": by, "n": n, "data": data});
        for member in members {
            self.heard(member, event.clone());
        }
    }

    fn asks(&mut self, member: u32, id: usize, n: u64, ask: Ask) {
        let room = self.room.clone();
        self.note(member, Seen::Asked { id, room, n, ask });
    }

    /// A frame came, as it is written in JSON.
    fn heard(&mut self, member: u32, frame: Value) {
        let frame = frame.to_string();
        let frame = Codec::Json.decode_server(frame.as_bytes()).unwrap();
        self.note(member, Seen::Heard(frame));
    }

    fn settled(&mut self, member: u32, id: usize, outcome: Outcome) {
        self.note(member, Seen::Settled { id, outcome });
    }

    fn note(&mut self, member: u32, what: Seen) {
        self.records[member as usize - 1].push(Instant::now(), what);
    }

    fn seen(&mut self, member: u32) -> &mut Vec<Observation> {
        &mut self.records[member as usize - 1].observations
    }

    fn end(&self) -> Pos {
        self.log.entries.last().unwrap().pos
    }

    /// The verdict beside the store's log.
    fn judge(&self) -> Verdict {
        let logs = BTreeMap::from([(self.room.clone(), self.log.clone())]);
        check(&Case::new(&self.records, &logs))
    }

    /// The verdict while it goes on, beside what the clients themselves see.
    fn watch(&self) -> Verdict {
        let logs = BTreeMap::new();
        check(&Case {
            logs: None,
            ..Case::new(&self.records, &logs)
        })
    }

    /// Both find it.
    fn shows(&self, violation: Violation) {
        for verdict in [self.judge(), self.watch()] {
            assert!(verdict.count(violation) > 0, "{violation:?}: {verdict}");
        }
    }

    /// Nobody else saw what a member saw.
    fn is_alone_with(&self, member: u32, at: usize) -> bool {
        let seen = &self.records[member as usize - 1].observations[at].what;
        let records = self.records.iter();
        let others = records.filter(|record| record.count(|other| other == seen) > 0);
        others.count() == 1
    }

    /// Where events stand in a member's record.
    fn events(&self, member: u32) -> Vec<usize> {
        let is_event =
            |seen: &Observation| matches!(seen.what, Seen::Heard(ServerFrame::Event { .. }));
        let seen = &self.records[member as usize - 1].observations;
        (0..seen.len()).filter(|at| is_event(&seen[*at])).collect()
    }
}

fn say(text: &str) -> Ask {
    Ask::Act(Payload::from(&json!({"say": text})))
}

/// `welcome` or `resumed`.
fn welcome(t: &str) -> Value {
    let limits = json!({"frame_bytes": 1, "actions_per_s": 1});
    json!({"t": t, "sid": Sid::nil(), "key": "k", "gen": 1, "ttl_ms": 1, "heartbeat_ms": 1, "limits": limits, "rooms": {}})
}

/// The event that a member heard there.
fn event(seen: &mut Observation) -> (&mut Pos, &mut Option<u64>, &mut Payload) {
    match &mut seen.what {
        Seen::Heard(ServerFrame::Event { pos, n, data, .. }) => (pos, n, data),
        other => panic!("{other:?} is no event"),
    }
}

/// Spoils a good run once for each event that a member saw.
fn spoil_each_event(spoil: impl Fn(&mut Vec<Observation>, usize), violation: Violation) {
    let good = Run::good();
    for member in 1..=MEMBERS {
        for at in good.events(member) {
            let mut run = good.clone();
            spoil(run.seen(member), at);
            let (judged, watched) = (run.judge(), run.watch());
            let here = format!("member {member}, observation {at}");
            assert!(judged.count(violation) > 0, "{here}: {judged}");
            // Without the store's log, somebody else has to have seen it.
            let found = watched.count(violation) > 0 || good.is_alone_with(member, at);
            assert!(found, "{here}: {watched}");
        }
    }
}

#[test]
fn a_good_run_is_judged_clean() {
    let verdict = Run::good().judge();
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.actions_settled, MEMBERS as usize * ROUNDS as usize);
    assert_eq!(Run::good().watch(), verdict);
    let text = verdict.to_string();
    assert!(
        text.starts_with("lost 0, doubled 0, out of order 0"),
        "{text}"
    );
}

#[test]
fn e1_catches_a_lost_event() {
    spoil_each_event(|seen, at| drop(seen.remove(at)), Violation::Lost);
}

#[test]
fn e1_catches_a_doubled_event() {
    spoil_each_event(
        |seen, at| seen.insert(at + 1, seen[at].clone()),
        Violation::Doubled,
    );
    spoil_each_event(|seen, at| seen.push(seen[at].clone()), Violation::Doubled);
}

#[test]
fn e1_catches_two_swapped_events() {
    let good = Run::good();
    for member in 1..=MEMBERS {
        for pair in good.events(member).windows(2) {
            let mut run = good.clone();
            run.seen(member).swap(pair[0], pair[1]);
            run.shows(Violation::OutOfOrder);
            for verdict in [run.judge(), run.watch()] {
                let lost = verdict.count(Violation::Lost);
                assert_eq!(lost, 0, "what came late is not lost: {verdict}");
            }
        }
    }
}

#[test]
fn e1_catches_two_clients_that_saw_different_things() {
    let other_data = |seen: &mut Vec<Observation>, at: usize| {
        *event(&mut seen[at]).2 = Payload::from(&json!({"said": "something else"}));
    };
    spoil_each_event(other_data, Violation::Differing);
    let other_tag = |seen: &mut Vec<Observation>, at: usize| event(&mut seen[at]).0.tag += 1;
    spoil_each_event(other_tag, Violation::Differing);
}

#[test]
fn a1_catches_an_action_that_was_applied_twice() {
    // Under the same number, and under one of its own: the text tells.
    for n in [5, 99] {
        let mut run = Run::good();
        run.said(2, n, "2:5");
        run.shows(Violation::Doubled);
    }
}

#[test]
fn a1_catches_an_unacknowledged_action_that_was_applied_twice() {
    let mut run = Run::good();
    run.asks(1, 50, 11, say("open"));
    assert!(run.judge().is_clean());
    for n in [11, 12] {
        run.said(1, n, "open");
    }
    run.shows(Violation::Doubled);
}

#[test]
fn a2_catches_an_acknowledged_action_that_is_not_in_the_log() {
    for n in 2..=ROUNDS {
        let mut run = Run::good();
        let text = format!("\"1:{n}\"");
        let forge = |n: &mut Option<u64>, data: &mut Payload| {
            if data.as_json().contains(&text) {
                (*data, *n) = (Payload::from(&json!({"said": "forged"})), None);
            }
        };
        for entry in &mut run.log.entries {
            if let LoggedBody::Event { data, n, .. } = &mut entry.body {
                forge(n, data);
            }
        }
        // Nobody saw it either: only the acknowledgement is left.
        for member in 1..=MEMBERS {
            for at in run.events(member) {
                let (_, n, data) = event(&mut run.seen(member)[at]);
                forge(n, data);
            }
        }
        run.shows(Violation::Lost);
    }
}

#[test]
fn a5_catches_an_action_that_was_refused_and_applied() {
    let code = "forbidden".to_owned();
    let mut run = Run::good();
    run.asks(1, 50, 11, say("refused"));
    run.settled(1, 50, Outcome::NotTaken { code });
    assert!(run.judge().is_clean());
    run.said(1, 11, "refused");
    run.shows(Violation::Doubled);
}

#[test]
fn a2_catches_a_result_that_the_log_does_not_have() {
    let (code, pos) = ("no".to_owned(), Run::good().end());
    for outcome in [Outcome::Taken(pos), Outcome::Refused { pos, code }] {
        let mut run = Run::good();
        run.asks(1, 50, 11, say("result"));
        run.settled(1, 50, outcome);
        run.shows(Violation::Lost);
    }
}

#[test]
fn e1_catches_a_hole_in_the_log_itself() {
    let mut run = Run::good();
    run.log.entries.remove(12);
    assert!(run.judge().count(Violation::Lost) > 0);
}

/// Member 1 loses its socket, misses the last events and comes back, naming a position or none.
fn comes_back(reason: Option<SnapshotReason>, from: Option<Pos>, n: u64) -> Verdict {
    let mut run = Run::good();
    let (room, events, pos) = (run.room.clone(), run.events(1), run.end());
    let missed = run.seen(1).split_off(events[events.len() - 4]);
    let (code, rooms) = (None, BTreeMap::from([(room.clone(), from)]));
    run.note(1, Seen::Lost { code });
    run.note(1, Seen::Resuming { rooms });
    run.heard(1, welcome("resumed"));
    match reason {
        None => run.seen(1).extend(missed),
        Some(reason) => {
            let snapshot = json!({"t": "snapshot", "room": room, "pos": pos, "state": null, "member": 1, "n": n, "reason": reason});
            run.heard(1, snapshot);
            run.settled(1, 9, Outcome::Unknown);
        }
    }
    run.heard(1, json!({"t": "live", "room": room, "pos": pos}));
    run.judge()
}

/// The last position that member 1 saw before it lost its socket.
fn last_seen() -> Pos {
    let mut run = Run::good();
    let events = run.events(1);
    *event(&mut run.seen(1)[events[events.len() - 5]]).0
}

#[test]
fn r1_a_replay_or_an_explained_snapshot_is_judged_clean() {
    let from = Some(last_seen());
    for (reason, from) in [
        (None, from),
        (Some(SnapshotReason::Shorter), from),
        (Some(SnapshotReason::Requested), None),
    ] {
        let verdict = comes_back(reason, from, ROUNDS);
        assert!(verdict.is_clean(), "{reason:?}: {verdict}");
    }
}

#[test]
fn r3_catches_a_snapshot_that_nothing_explains() {
    let Pos { off, tag } = last_seen();
    let [here, elsewhere] = [tag, tag + 1].map(|tag| Some(Pos { off, tag }));
    for (reason, from) in [
        (SnapshotReason::Trimmed, here),
        (SnapshotReason::Diverged, here),
        (SnapshotReason::Requested, here),
        // Only who could have been caught up is shown less.
        (SnapshotReason::Shorter, elsewhere),
        (SnapshotReason::Shorter, None),
        (SnapshotReason::Trimmed, None),
    ] {
        let verdict = comes_back(Some(reason), from, ROUNDS);
        let found = verdict.count(Violation::Snapshot);
        assert_eq!(found, 1, "{reason:?} from {from:?}: {verdict}");
    }
}

#[test]
fn r5_catches_a_snapshot_that_does_not_know_what_was_settled() {
    let verdict = comes_back(Some(SnapshotReason::Shorter), Some(last_seen()), 3);
    assert!(verdict.count(Violation::Snapshot) > 0, "{verdict}");
}

#[test]
fn r3_catches_a_shorter_snapshot_that_leaves_out_an_outcome() {
    for (reason, n, lost) in [
        (SnapshotReason::Shorter, 10, 0),
        (SnapshotReason::Shorter, 11, 1),
        // A snapshot that was asked for may settle what nobody will tell any more (R5).
        (SnapshotReason::Requested, 11, 0),
    ] {
        let mut run = Run::good();
        let (room, pos) = (run.room.clone(), run.end());
        let from = (reason == SnapshotReason::Shorter).then_some(pos);
        run.asks(1, 50, 11, say("open"));
        let rooms = BTreeMap::from([(room.clone(), from)]);
        run.note(1, Seen::Resuming { rooms });
        run.heard(1, welcome("resumed"));
        let snapshot = json!({"t": "snapshot", "room": room, "pos": pos, "state": null, "member": 1, "n": n, "reason": reason});
        run.heard(1, snapshot);
        let verdict = run.judge();
        assert_eq!(
            verdict.count(Violation::Lost),
            lost,
            "{reason:?}: {verdict}"
        );
        assert_eq!(verdict.total(), lost, "{verdict}");
    }
}

#[test]
fn r1_catches_live_before_everything_came() {
    let mut run = Run::good();
    let (room, pos) = (run.room.clone(), run.end());
    let last = *run.events(1).last().unwrap();
    run.seen(1).truncate(last);
    run.heard(1, json!({"t": "live", "room": room, "pos": pos}));
    run.shows(Violation::Lost);
}
