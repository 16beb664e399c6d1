//! Faults that are planted are found, and nothing else is.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::churn::history::What;

const WITHIN: Duration = Duration::from_secs(10);

/// A client that joins, says something twice and leaves, all at second 1, 2, 3 …
fn story() -> Vec<(char, Value)> {
    let event = |pos: &str, n: u64| json!({"t": "event", "room": "chat/a", "pos": pos, "by": 7, "n": n, "data": {}});
    vec![
        ('>', json!({"t": "open"})),
        ('<', json!({"t": "welcome", "sid": "s"})),
        ('>', json!({"t": "join", "room": "chat/a", "n": 1})),
        (
            '<',
            json!({"t": "joined", "room": "chat/a", "n": 1, "member": 7, "pos": "4-1"}),
        ),
        ('>', json!({"t": "act", "room": "chat/a", "n": 2})),
        ('>', json!({"t": "act", "room": "chat/a", "n": 3})),
        ('<', event("5-1", 2)),
        ('<', event("6-1", 3)),
        ('>', json!({"t": "leave", "room": "chat/a", "n": 4})),
        (
            '<',
            json!({"t": "left", "room": "chat/a", "n": 4, "reason": "left"}),
        ),
    ]
}

fn judged(story: &[(char, Value)]) -> Vec<Wrong> {
    let mut history = History::of("one".into());
    for (second, (way, frame)) in story.iter().enumerate() {
        let what = match way {
            '>' => What::Out(frame.clone()),
            '<' => What::In(frame.clone()),
            _ => What::Closed("cut".into()),
        };
        history.push(Duration::from_secs(second as u64), 0, what);
    }
    let faults = wire(&history, WITHIN, Duration::from_secs(100));
    faults.iter().map(|fault| fault.wrong).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(judged(&story()), []);
}

#[test]
fn an_entry_that_comes_twice_is_found() {
    let mut twice = story();
    twice.insert(8, twice[7].clone());
    assert_eq!(judged(&twice), [Wrong::Order, Wrong::Outcomes]);
}

#[test]
fn an_outcome_that_comes_twice_is_found() {
    let mut twice = story();
    twice.push((
        '<',
        json!({"t": "result", "room": "chat/a", "n": 3, "pos": "9-1", "ok": false}),
    ));
    assert_eq!(judged(&twice), [Wrong::Outcomes]);
    let mut twice = story();
    twice.push(twice[9].clone());
    assert_eq!(judged(&twice), [Wrong::Outcomes]);
}

#[test]
fn an_answer_that_was_asked_for_twice_may_come_twice() {
    let mut twice = story();
    twice.push(twice[8].clone());
    twice.push(twice[9].clone());
    assert_eq!(judged(&twice), []);
}

#[test]
fn an_event_behind_a_leave_is_found() {
    let mut late = story();
    late.push((
        '<',
        json!({"t": "event", "room": "chat/a", "pos": "8-1", "data": {}}),
    ));
    assert_eq!(judged(&late), [Wrong::Order]);
}

#[test]
fn an_action_without_a_word_is_found() {
    let mut silent = story();
    silent.remove(7);
    silent.truncate(7);
    assert_eq!(judged(&silent), [Wrong::Stuck]);
    silent.push(('x', Value::Null));
    assert_eq!(judged(&silent), []);
}

#[test]
fn an_application_that_is_told_twice_is_found() {
    let told = |offs: &[u64]| {
        offs.iter()
            .map(|off| ("chat/a".to_owned(), *off, false))
            .collect::<Vec<_>>()
    };
    assert_eq!(app_order("one", &told(&[1, 2, 5])), []);
    assert_eq!(app_order("one", &told(&[1, 2, 2])).len(), 1);
}

fn census() -> Census {
    let rooms = BTreeMap::from([("chat/a".to_owned(), 7)]);
    let guest = Guest {
        member: 7,
        name: "one".into(),
        online: true,
    };
    let seat = Seat {
        attached: true,
        rooms: rooms.clone(),
    };
    Census {
        present: vec![Present {
            who: "one".into(),
            sid: "s".into(),
            rooms,
        }],
        rooms: BTreeMap::from([("chat/a".to_owned(), vec![guest])]),
        sessions: BTreeMap::from([("s".to_owned(), Some(seat))]),
        strays: Vec::new(),
    }
}

#[test]
fn ghosts_are_found() {
    assert_eq!(ghosts(&census()), []);
    let mut gone = census();
    gone.present.clear();
    assert_eq!(
        ghosts(&gone).len(),
        2,
        "a member and a record that nobody has"
    );
    let mut forgotten = census();
    forgotten.rooms.values_mut().for_each(Vec::clear);
    assert_eq!(ghosts(&forgotten).len(), 1);
    let mut away = census();
    away.rooms
        .values_mut()
        .for_each(|guests| guests[0].online = false);
    assert_eq!(ghosts(&away).len(), 1);
    let mut stray = census();
    stray.strays.push("ol:{s0}:session:x".into());
    assert_eq!(ghosts(&stray).len(), 1);
}
