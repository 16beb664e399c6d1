//! Actions that a client sends again (A3, A8).

use outlast_store::{Answer, Outcome, OutcomeBody};

use super::{
    bench::{
        Asked::{Act, Join, Leave},
        Bench, ROOM, answers, entries, payload, request,
    },
    lab::Action,
};

#[test]
fn a3_a_resent_join_is_answered_with_the_room_as_it_is_now() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Add(5)));
    bench.crash();
    let commit = bench.tell(7, 2, request(1, Join));
    assert_eq!(entries(&commit), []);
    match &answers(&commit)[..] {
        [
            Answer::Joined {
                n: 1,
                applied: 2,
                member: 1,
                pos,
                state,
            },
        ] => {
            assert_eq!(*pos, bench.room().load.last);
            assert_eq!(state.read::<super::lab::Lab>().unwrap().total, 5);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a3_a_resent_join_or_leave_of_a_session_outside_is_answered_with_what_was_kept() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let left = answers(&bench.do_(7, Leave));
    bench.crash();
    for (n, asked) in [(1, Join), (2, Leave)] {
        let commit = bench.tell(7, 2, request(n, asked));
        assert_eq!(entries(&commit), []);
        assert_eq!(answers(&commit), left);
    }
}

#[test]
fn a3_a_resent_act_of_a_session_that_has_left_is_answered_from_the_log() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Add(1)));
    bench.do_(7, Act(Action::Refuse));
    bench.do_(7, Act(Action::Answer(9)));
    bench.post(7, Act(Action::Nothing));
    bench.post(7, Act(Action::Nothing));
    bench.batch();
    bench.do_(7, Leave);
    bench.crash();
    let told = |bench: &mut Bench, n| {
        let commit = bench.tell(7, 2, request(n, Act(Action::Nothing)));
        assert_eq!(entries(&commit), []);
        match &answers(&commit)[..] {
            [Answer::Outcome(outcome)] => {
                assert_eq!(outcome.n, n);
                (outcome.pos.off, outcome.body.clone())
            }
            other => panic!("{other:?}"),
        }
    };
    let done = |data: Option<u64>| OutcomeBody::Done {
        data: data.map(|data| payload(&data)),
    };
    let refused = OutcomeBody::Refused {
        code: "no".into(),
        message: "not like this".into(),
    };
    assert_eq!(told(&mut bench, 2), (2, done(None)));
    assert_eq!(told(&mut bench, 3), (3, refused));
    assert_eq!(told(&mut bench, 4), (4, done(Some(9))));
    assert_eq!(
        told(&mut bench, 5),
        (5, done(None)),
        "one result covers both"
    );
    assert_eq!(told(&mut bench, 6), (5, done(None)));
}

#[test]
fn a8_a_resent_act_whose_outcome_the_log_holds_no_more_is_answered_all_the_same() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Add(1)));
    bench.do_(7, Leave);
    bench
        .shelf
        .rooms
        .get_mut(&ROOM.parse().unwrap())
        .unwrap()
        .log
        .clear();
    let commit = bench.tell(7, 2, request(2, Act(Action::Add(1))));
    match &answers(&commit)[..] {
        [
            Answer::Outcome(Outcome {
                n: 2,
                body: OutcomeBody::Refused { code, .. },
                ..
            }),
        ] => assert_eq!(code, "unknown"),
        other => panic!("{other:?}"),
    }
}
