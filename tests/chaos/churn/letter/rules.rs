use super::*;

const ROOM: &str = "chat/a";

/// A client with a session, that was sent these frames and asked these things, in this order.
fn client(story: &[Step]) -> (Letter, Vec<Value>) {
    let now = Instant::now();
    let mut letter = Letter::default();
    letter.greet(now, |_| Start::Known);
    let mut sent = Vec::new();
    let welcome = json!({"t": "welcome", "sid": "01890000-0000-7000-8000-000000000000", "key": "k", "gen": 1,
        "ttl_ms": 1, "heartbeat_ms": 1, "limits": {"frame_bytes": 1, "actions_per_s": 1}});
    letter.heard(now, &welcome.to_string());
    for step in story {
        match step {
            Step::Ask(kind) => sent = letter.ask(now, ROOM, *kind, json!({})),
            Step::Told(frame) => {
                let then = letter.heard(now, &frame.to_string());
                let frames = then.into_iter().filter_map(|then| match then {
                    Then::Send(frame) => Some(frame),
                    Then::Resume(_) | Then::Move(_) | Then::Gone | Then::Stop(_) => None,
                });
                sent = frames.collect();
            }
        }
    }
    (letter, sent)
}

enum Step {
    Ask(Kind),
    Told(Value),
}

use Step::{Ask as A, Told as T};

fn numbers(frames: &[Value]) -> Vec<(&str, u64)> {
    let number = |frame: &'_ Value| frame["n"].as_u64().unwrap();
    let frames = frames.iter();
    frames
        .map(|frame| (frame["t"].as_str().unwrap(), number(frame)))
        .collect()
}

fn joined(n: u64) -> Step {
    T(json!({"t": "joined", "room": ROOM, "n": n, "member": 1, "pos": "1-1", "state": {}}))
}

fn error(n: u64) -> Step {
    T(json!({"t": "error", "room": ROOM, "n": n, "code": "not_joined", "message": ""}))
}

#[test]
fn a5_the_next_action_bears_a_number_that_was_given_back() {
    let (_, sent) = client(&[A(Kind::Act), error(1), A(Kind::Join)]);
    assert_eq!(numbers(&sent), [("join", 1)]);
}

#[test]
fn a5_what_was_sent_behind_it_is_numbered_anew_when_it_makes_a_gap() {
    let gap = T(json!({"t": "gap", "room": ROOM, "expect": 1}));
    let (_, sent) = client(&[A(Kind::Act), A(Kind::Join), error(1), gap]);
    assert_eq!(numbers(&sent), [("join", 1)]);
}

#[test]
fn a10_a_room_that_has_forgotten_is_told_all_anew() {
    let gap = T(json!({"t": "gap", "room": ROOM, "expect": 1}));
    let left = T(json!({"t": "left", "room": ROOM, "n": 2, "reason": "left"}));
    let before = [A(Kind::Join), joined(1), A(Kind::Leave), left];
    let after = [A(Kind::Join), A(Kind::Act), gap];
    let story: Vec<_> = before.into_iter().chain(after).collect();
    let (_, sent) = client(&story);
    assert_eq!(numbers(&sent), [("join", 1), ("act", 2)]);
}

#[test]
fn a10_what_is_expected_is_sent_again() {
    let gap = T(json!({"t": "gap", "room": ROOM, "expect": 2}));
    let (_, sent) = client(&[A(Kind::Join), A(Kind::Act), A(Kind::Act), gap]);
    assert_eq!(numbers(&sent), [("act", 2), ("act", 3)]);
}

#[test]
fn r1_gone_settles_what_comes_before_a_join() {
    let gone = T(
        json!({"t": "resumed", "sid": "01890000-0000-7000-8000-000000000000", "key": "k", "gen": 2,
        "ttl_ms": 1, "heartbeat_ms": 1, "limits": {"frame_bytes": 1, "actions_per_s": 1},
        "rooms": {ROOM: "gone"}}),
    );
    let asks = [Kind::Act, Kind::Leave, Kind::Join, Kind::Leave].map(A);
    let story: Vec<_> = [A(Kind::Join), joined(1)]
        .into_iter()
        .chain(asks)
        .chain([gone])
        .collect();
    let (letter, _) = client(&story);
    assert_eq!(letter.waiting(), ["chat/a Join 4", "chat/a Leave 5"]);
    assert!(!letter.is_inside(ROOM));
}

#[test]
fn a9_a_left_that_was_told_before_is_ignored() {
    let left = T(json!({"t": "left", "room": ROOM, "n": 2, "reason": "left"}));
    let again = T(json!({"t": "left", "room": ROOM, "n": 2, "reason": "left"}));
    let story = [
        A(Kind::Join),
        joined(1),
        A(Kind::Leave),
        A(Kind::Join),
        left,
        joined(3),
        again,
    ];
    let (letter, _) = client(&story);
    assert!(letter.is_inside(ROOM));
}
