use super::*;

fn act(n: u64) -> Request {
    Request::Act {
        n,
        data: Payload::null(),
    }
}

fn join(n: u64) -> Request {
    Request::Join {
        n,
        user: "ada".into(),
        data: None,
    }
}

#[test]
fn a3_what_is_not_answered_in_time_is_asked_again_in_order() {
    let start = Instant::now();
    let mut asked = PendingActions::default();
    asked.ask(1, join(1), start);
    asked.ask(2, act(2), start + PATIENCE / 2);
    assert!(asked.again(start + PATIENCE / 2).is_empty());
    let last = Request::Attached { view: false };
    assert_eq!(asked.again(start + PATIENCE), [join(1), act(2), last]);
    assert!(
        asked.again(start + PATIENCE * 2).is_empty(),
        "less and less often"
    );
    asked.hurry(start + PATIENCE * 3 / 2);
    assert_eq!(asked.again(start + PATIENCE * 3 / 2).len(), 3);
    asked.settle_to(1);
    asked.settle_acts(start + PATIENCE * 2);
    assert!(asked.questions.is_empty());
    asked.found_entry(2, start + PATIENCE * 2);
    assert!(asked.is_empty() && asked.next().is_none());
}

#[test]
fn r4_acts_that_were_lost_show_in_what_the_room_has_applied() {
    let start = Instant::now();
    let check = [Request::Attached { view: false }];
    let mut asked = PendingActions::default();
    (3..=6).for_each(|n| asked.expect_entry(n, start));
    asked.found_entry(3, start + PATIENCE / 2);
    assert!(asked.again(start + PATIENCE).is_empty());
    assert_eq!(asked.again(start + PATIENCE * 3 / 2), check);
    asked.expect_entry(7, start + PATIENCE * 3 / 2);
    assert_eq!(asked.heard_applied(6, start), None, "7 was sent after that");
    asked.hurry(start + PATIENCE * 2);
    assert_eq!(asked.again(start + PATIENCE * 2), check);
    assert_eq!(asked.heard_applied(4, start), None, "another history");
    asked.hurry(start + PATIENCE * 2);
    assert_eq!(asked.again(start + PATIENCE * 2), check);
    assert_eq!(asked.heard_applied(6, start), Some(7));
    assert_eq!(asked.heard_applied(6, start), None, "nobody asked");
    assert!(asked.is_empty());
}

#[test]
fn a2_acts_behind_a_leave_are_answered() {
    let now = Instant::now();
    let mut asked = PendingActions::default();
    asked.ask(1, join(1), now);
    asked.ask(2, act(2), now);
    asked.ask(3, Request::Leave { n: 3 }, now);
    asked.ask(4, act(4), now);
    asked.settle_to(1);
    asked.settle_acts(now);
    assert!(!asked.contains(2) && asked.contains(4) && asked.first_leave() == Some(3));
    asked.settle_to(3);
    assert!(asked.contains(4) && asked.first_leave().is_none() && asked.entries.is_none());
}

#[test]
fn w5_behind_a_refused_leave_everything_goes_on() {
    let now = Instant::now();
    let mut asked = PendingActions::default();
    asked.expect_entry(2, now);
    asked.ask(3, Request::Leave { n: 3 }, now);
    asked.ask(4, act(4), now);
    asked.found_entry(2, now);
    assert!(asked.first_leave() == Some(3) && asked.contains(4));
    asked.found_entry(3, now);
    assert!(asked.first_leave().is_none() && !asked.contains(4) && !asked.is_empty());
    asked.found_entry(4, now);
    assert!(asked.is_empty());
}

#[test]
fn a9_a_leave_is_told_behind_what_was_asked_before_it() {
    let now = Instant::now();
    let mut asked = PendingActions::default();
    asked.ask(1, join(1), now);
    asked.ask(2, act(2), now);
    asked.ask(3, Request::Leave { n: 3 }, now);
    assert!(!asked.left(3, now), "2 may have its outcome");
    let again = [
        act(2),
        Request::Leave { n: 3 },
        Request::Attached { view: false },
    ];
    assert_eq!(asked.again(now), again);
    let mut forgotten = PendingActions::default();
    forgotten.ask(2, act(2), now);
    forgotten.ask(3, Request::Leave { n: 3 }, now);
    assert!(!forgotten.left(3, now) && forgotten.left(3, now) && forgotten.is_empty());
    asked.settle(2);
    assert!(asked.left(3, now) && asked.is_empty());
}

#[test]
fn a8_what_gets_no_word_is_given_back() {
    let start = Instant::now();
    let late = start + WORD_WITHIN;
    let mut asked = PendingActions::default();
    asked.expect_entry(2, start);
    asked.expect_entry(3, start);
    asked.ask(4, Request::Leave { n: 4 }, start + PATIENCE);
    assert_eq!(asked.overdue(late - PATIENCE), None);
    assert_eq!(asked.overdue(late), Some(2));
    asked.found_entry(2, start + PATIENCE);
    assert_eq!(
        (asked.overdue(late), asked.overdue(late + PATIENCE)),
        (None, Some(3))
    );
    asked.found_entry(3, late);
    assert_eq!(asked.overdue(late + PATIENCE), Some(4));
}

#[test]
fn a8_a_gap_that_was_not_heard_of_shows_in_what_the_room_has_applied() {
    let start = Instant::now();
    let mut asked = PendingActions::default();
    asked.ask(5, join(5), start);
    assert_eq!(asked.expected_instead(2), None, "nobody asked");
    asked.again(start + PATIENCE);
    assert_eq!(asked.expected_instead(2), Some(3));
    assert_eq!(asked.expected_instead(2), None, "once");
    asked.again(start + 4 * PATIENCE);
    assert_eq!(asked.expected_instead(4), None, "it is the next");
}

#[test]
fn what_it_remembers_is_counted() {
    let now = Instant::now();
    let mut asked = PendingActions::default();
    let data = Payload::of(&"x".repeat(998)).unwrap();
    for n in 1.. {
        if asked.is_full() {
            break;
        }
        asked.ask(
            n,
            Request::Act {
                n,
                data: data.clone(),
            },
            now,
        );
    }
    assert_eq!(asked.bytes(), 256_000);
    asked.settle(7);
    asked.drop_from(200);
    assert_eq!(asked.bytes(), 198_000);
    asked.settle_acts(now);
    assert_eq!(asked.bytes(), 0);
}
