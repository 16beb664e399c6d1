//! Posts and reports: what is said by who is in no room.

use outlast_store::{Answer, Outcome, OutcomeBody, Request};

use super::{
    bench::{Asked::Join, Bench, answers, entries, event, input, payload},
    lab::Action,
};

fn post(action: Action) -> Request {
    Request::Post {
        user: "billing".into(),
        data: payload(&action),
    }
}

fn outcome(answers: &[Answer]) -> &Outcome {
    match answers {
        [Answer::Outcome(outcome)] => outcome,
        answers => panic!("{answers:?}"),
    }
}

#[test]
fn a6_a_post_counts_once_for_its_key_however_often_it_comes() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let first = bench.tell(8, 0, post(Action::Add(5)));
    assert_eq!(entries(&first), [event(None, None, r#"{"added":5}"#)]);
    let first = answers(&first);
    assert_eq!(outcome(&first).body, OutcomeBody::Done { data: None });

    let again = bench.tell(8, 0, post(Action::Add(5)));
    assert_eq!((entries(&again), answers(&again)), (vec![], first.clone()));
    bench.crash();
    let again = bench.tell(8, 0, post(Action::Add(5)));
    assert_eq!((entries(&again), answers(&again)), (vec![], first));
    bench.tell(9, 0, post(Action::Add(1)));
    assert_eq!(bench.state(7).total, 6);
}

#[test]
fn a6_a_post_is_taken_where_nobody_is() {
    let mut bench = Bench::new();
    let commit = bench.tell(8, 0, post(Action::Add(5)));
    assert_eq!(entries(&commit), [event(None, None, r#"{"added":5}"#)]);
    assert!(
        commit.rooms[0].ttl_ms.is_some(),
        "it is forgotten some time"
    );
    assert!(commit.rooms[0].snapshot.is_some());
}

#[test]
fn a6_a_refused_post_changes_nothing_and_is_refused_again() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        let commit = bench.tell(8, 0, post(Action::Refuse));
        assert_eq!(entries(&commit), []);
        let answers = answers(&commit);
        let OutcomeBody::Refused { code, .. } = &outcome(&answers).body else {
            panic!("{answers:?}");
        };
        assert_eq!(code, "no");
    }
}

#[test]
fn w5_a_post_that_the_room_panics_at_is_refused() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let commit = bench.tell(8, 0, post(Action::Panic));
    let answers = answers(&commit);
    let OutcomeBody::Refused { code, .. } = &outcome(&answers).body else {
        panic!("{answers:?}");
    };
    assert_eq!(code, "room_error");
    bench.tell(9, 0, post(Action::Add(1)));
    assert_eq!(bench.state(7).total, 1);
}

#[test]
fn b4_a_report_leaves_nothing_but_what_the_room_makes_of_it() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let report = |action| Request::Report {
        data: payload(&action),
    };
    for _ in 0..2 {
        let commit = bench.tell(8, 0, report(Action::Add(5)));
        assert_eq!(entries(&commit), [event(None, None, r#"{"added":5}"#)]);
        assert_eq!(answers(&commit), []);
        assert!(
            commit.rooms[0].seats.is_empty(),
            "nobody remembers who said it"
        );
    }
    for bad in [Action::Refuse, Action::Panic] {
        let commit = bench.tell(8, 0, report(bad));
        assert_eq!((entries(&commit), answers(&commit)), (vec![], vec![]));
    }
    bench.tell(8, 0, report(Action::Add(1)));
    assert_eq!(bench.state(7).total, 11);
}

#[test]
fn a6_who_looks_is_shown_the_room_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let at = bench.log().last().unwrap().pos;
    bench.append(input(8, 0, Request::Look));
    let commit = bench.batch().unwrap();
    assert_eq!(entries(&commit), []);
    match answers(&commit).as_slice() {
        [
            Answer::Seated {
                member, pos, state, ..
            },
        ] => {
            assert_eq!((*member, *pos), (None, at));
            assert!(state.is_some());
        }
        answers => panic!("{answers:?}"),
    }
}
