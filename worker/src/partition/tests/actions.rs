use outlast_protocol::{Payload, Pos};
use outlast_store::{Answer, Body, Outcome, OutcomeBody, Request};

use super::{
    bench::{
        Asked, Bench, ROOM, answers, entries, event, input, ok, payload, quiet, refused, request,
    },
    lab::Action,
};

use Asked::{Act, Join, JoinSaying, Leave};

#[test]
fn a1_each_action_is_applied_once_in_order() {
    let mut bench = Bench::new();
    for asked in [
        Join,
        Act(Action::Add(1)),
        Act(Action::Add(2)),
        Act(Action::Add(4)),
    ] {
        bench.post(7, asked);
    }
    let commit = bench.batch().unwrap();
    assert_eq!(
        entries(&commit),
        [
            quiet(1, Some(1), r#"{"entered":1}"#),
            event(Some(1), Some(2), r#"{"added":1}"#),
            event(Some(1), Some(3), r#"{"added":2}"#),
            event(Some(1), Some(4), r#"{"added":4}"#),
        ]
    );
    assert_eq!(bench.state(7).total, 7);
}

#[test]
fn a1_a_repeated_number_has_no_second_effect() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let again = request(2, Act(Action::Add(1)));
    bench.post(7, Act(Action::Add(1)));
    bench.append(input(7, 1, again.clone()));
    bench.batch();
    bench.tell(7, 1, again.clone());
    bench.crash();
    let commit = bench.tell(7, 1, again);
    assert_eq!(entries(&commit), []);
    assert_eq!(
        answers(&commit),
        [],
        "a member reads the outcome in the log"
    );
    assert_eq!(bench.state(7).total, 1);
}

#[test]
fn a1_a_gap_is_told_once_until_the_expected_number_comes() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let add = |n| request(n, Act(Action::Add(1)));
    let gap = [Answer::Gap { expect: 2 }];
    assert_eq!(answers(&bench.tell(7, 1, add(4))), gap);
    assert_eq!(answers(&bench.tell(7, 1, add(5))), []);
    bench.tell(7, 1, add(2));
    let commit = bench.tell(7, 1, add(9));
    assert_eq!(answers(&commit), [Answer::Gap { expect: 3 }]);
    assert_eq!(entries(&commit), []);
    assert_eq!(bench.state(7).total, 1);
}

#[test]
fn a1_a_new_socket_is_told_of_the_gap_anew() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let gap = [Answer::Gap { expect: 2 }];
    for generation in 1..=2 {
        let commit = bench.tell(7, generation, request(3, Act(Action::Nothing)));
        assert_eq!(answers(&commit), gap);
    }
}

#[test]
fn a2_the_first_event_alone_bears_the_number() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let commit = bench.do_(7, Act(Action::AddTwice(1)));
    assert_eq!(
        entries(&commit),
        [
            event(Some(1), Some(2), r#"{"added":1}"#),
            event(Some(1), None, r#"{"added":1}"#),
        ]
    );
}

#[test]
fn a2_what_an_act_keeps_changes_the_room_and_is_part_of_its_result() {
    let kept = |n, data: Option<u64>, kept: &str| Body::Result {
        to: 1,
        n,
        ok: true,
        data: data.map(|data| payload(&data)),
        code: None,
        message: None,
        kept: Some(Payload::from_json(kept.into()).unwrap()),
    };
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post(7, Act(Action::Nothing));
    bench.post(7, Act(Action::Keep(4)));
    let commit = bench.batch().unwrap();
    assert_eq!(
        entries(&commit),
        [kept(3, None, r#"{"added":4}"#)],
        "it settles what was owed"
    );
    let commit = bench.do_(7, Act(Action::AddAndKeep(5)));
    assert_eq!(
        entries(&commit),
        [
            event(Some(1), None, r#"{"added":5}"#),
            kept(4, Some(5), r#"{"added":5}"#)
        ]
    );
    bench.crash();
    assert_eq!(bench.state(7).total, 14);
}

#[test]
fn w5_only_an_act_keeps_an_event_to_the_room() {
    let mut bench = Bench::new();
    let commit = bench.do_(7, Asked::JoinSaying("keep"));
    let told = answers(&commit).pop();
    assert!(format!("{told:?}").contains("room_error"), "{told:?}");
    bench.do_(7, JoinSaying("silent"));
    assert!(bench.state(7).online.is_empty(), "nothing has changed");
}

#[test]
fn a2_an_answer_is_the_outcome_and_events_beside_it_bear_no_number() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let answered = |n, data: u64| Body::Result {
        to: 1,
        n,
        ok: true,
        data: Some(payload(&data)),
        code: None,
        message: None,
        kept: None,
    };
    let commit = bench.do_(7, Act(Action::Answer(5)));
    assert_eq!(entries(&commit), [answered(2, 5)]);
    let commit = bench.do_(7, Act(Action::AddAndAnswer(6)));
    assert_eq!(
        entries(&commit),
        [event(Some(1), None, r#"{"added":6}"#), answered(3, 6)]
    );
}

#[test]
fn a2_one_result_settles_the_acts_of_a_batch_that_have_no_outcome() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(8, Join);
    for _ in 0..3 {
        bench.post(7, Act(Action::Nothing));
        bench.post(8, Act(Action::Nothing));
    }
    bench.post(7, Act(Action::Add(1)));
    let commit = bench.batch().unwrap();
    assert_eq!(
        entries(&commit),
        [
            ok(1, 4),
            event(Some(1), Some(5), r#"{"added":1}"#),
            ok(2, 4)
        ],
        "in the order of their numbers"
    );
}

#[test]
fn a7_outcomes_come_in_the_order_of_their_numbers() {
    for (next, settles) in [
        (Action::Add(1), event(Some(1), Some(3), r#"{"added":1}"#)),
        (Action::Refuse, refused(1, 3, "no", "not like this")),
        (
            Action::Panic,
            refused(
                1,
                3,
                "room_error",
                "the room failed at this; nothing has changed",
            ),
        ),
    ] {
        let mut bench = Bench::new();
        bench.do_(7, Join);
        bench.post(7, Act(Action::Nothing));
        bench.post(7, Act(next));
        bench.post(7, Act(Action::Nothing));
        let commit = bench.batch().unwrap();
        assert_eq!(entries(&commit), [ok(1, 2), settles, ok(1, 4)]);
    }
}

#[test]
fn a2_what_is_owed_comes_before_whatever_the_member_is_told_next() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post(7, Act(Action::Nothing));
    bench.append(input(7, 2, Request::Attached { view: true }));
    bench.post(7, Act(Action::Nothing));
    let commit = bench.batch().unwrap();
    assert_eq!(
        entries(&commit),
        [ok(1, 2)],
        "n 3 came from an older socket"
    );
    match answers(&commit)[..] {
        [
            Answer::Seated { n: 2, pos, .. },
            Answer::Superseded { generation: 1 },
        ] => assert_eq!(pos, bench.log()[1].pos),
        ref other => panic!("{other:?}"),
    }

    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post(7, Act(Action::Nothing));
    bench.post(7, Leave);
    let commit = bench.batch().unwrap();
    let left = quiet(1, Some(3), r#"{"left":[1,"left"]}"#);
    assert_eq!(entries(&commit), [ok(1, 2), left]);
}

#[test]
fn a2_joined_lies_behind_what_the_join_caused() {
    let mut bench = Bench::new();
    bench.post(7, Join);
    bench.post(7, Act(Action::Add(1)));
    let commit = bench.batch().unwrap();
    let pos = bench.log()[0].pos;
    match &answers(&commit)[..] {
        [
            Answer::Joined {
                n: 1,
                applied: 1,
                member: 1,
                pos: joined,
                state,
            },
        ] => {
            assert_eq!(*joined, pos);
            let state: super::lab::Lab = state.read().unwrap();
            assert_eq!(state.total, 0, "the view is of that moment");
            assert!(state.online[&1]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.seat(7).joined, Some(pos));
}

#[test]
fn a2_a_join_without_events_is_a_join() {
    let mut bench = Bench::new();
    let commit = bench.do_(7, JoinSaying("silent"));
    assert_eq!(entries(&commit), []);
    match &answers(&commit)[..] {
        [Answer::Joined { pos, .. }] => assert_eq!(*pos, Pos::START),
        other => panic!("{other:?}"),
    }
    bench.crash();
    let commit = bench.do_(7, Act(Action::Add(1)));
    assert_eq!(
        entries(&commit),
        [event(Some(1), Some(2), r#"{"added":1}"#)]
    );
}

#[test]
fn a2_a_join_of_a_member_is_answered_and_uses_up_its_number() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let commit = bench.do_(7, Join);
    assert_eq!(entries(&commit), []);
    assert!(matches!(
        answers(&commit)[..],
        [Answer::Joined {
            n: 2,
            member: 1,
            ..
        }]
    ));
    bench.crash();
    let commit = bench.do_(7, Act(Action::Add(1)));
    assert_eq!(
        entries(&commit),
        [event(Some(1), Some(3), r#"{"added":1}"#)]
    );
}

#[test]
fn a4_a_refusal_is_logged_changes_nothing_and_uses_up_its_number() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let commit = bench.do_(7, Act(Action::Refuse));
    assert_eq!(entries(&commit), [refused(1, 2, "no", "not like this")]);
    assert_eq!(answers(&commit), [], "a member reads it in the log");
    let commit = bench.do_(7, Act(Action::Add(1)));
    assert_eq!(
        entries(&commit),
        [event(Some(1), Some(3), r#"{"added":1}"#)]
    );
}

#[test]
fn a4_what_the_room_cannot_read_is_refused_in_serdes_words() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let act = Request::Act {
        n: 2,
        data: payload("fly"),
    };
    match &entries(&bench.tell(7, 1, act))[..] {
        [
            Body::Result {
                code: Some(code),
                message: Some(message),
                ok: false,
                ..
            },
        ] => {
            assert_eq!(code, "bad_action");
            assert!(message.contains("unknown variant `fly`"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let join = Request::Join {
        n: 1,
        user: "somebody".into(),
        data: Some(payload(&5)),
    };
    match &answers(&bench.tell(8, 1, join))[..] {
        [
            Answer::Outcome(Outcome {
                body: OutcomeBody::Refused { code, message },
                ..
            }),
        ] => {
            assert_eq!(code, "bad_join");
            assert!(message.contains("invalid type"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a5_an_act_behind_a_refused_join_is_refused_as_not_joined() {
    let mut bench = Bench::new();
    bench.post(7, JoinSaying("no"));
    bench.post(7, Act(Action::Add(1)));
    let commit = bench.batch().unwrap();
    let codes = |answer: &Answer| match answer {
        Answer::Outcome(Outcome {
            n,
            body: OutcomeBody::Refused { code, .. },
            ..
        }) => (*n, code.clone()),
        other => panic!("{other:?}"),
    };
    let codes: Vec<_> = answers(&commit).iter().map(codes).collect();
    assert_eq!(codes, [(1, "not_you".into()), (2, "not_joined".into())]);
    assert_eq!(bench.log().len(), 2, "a refusal is logged");

    // Asked again, it is told again; and it may try anew.
    bench.crash();
    let commit = bench.tell(7, 2, request(1, JoinSaying("no")));
    assert!(matches!(
        answers(&commit)[..],
        [Answer::Outcome(Outcome { n: 1, .. })]
    ));
    let commit = bench.tell(7, 2, request(3, Join));
    assert!(matches!(
        answers(&commit)[..],
        [Answer::Joined {
            n: 3,
            member: 1,
            ..
        }]
    ));
    assert_eq!(bench.seat(7).outcomes, []);
}

#[test]
fn a5_actions_in_a_room_of_an_unknown_kind_are_not_taken() {
    let mut bench = Bench::new();
    bench.post_in("nothing/here", 7, Join);
    bench.post(8, Join);
    let commit = bench.batch().unwrap();
    match &answers(&commit)[0] {
        Answer::NotTaken { n, code, .. } => {
            assert_eq!((*n, code.as_str()), (1, "unknown_room_kind"));
        }
        other => panic!("{other:?}"),
    }
    let rooms: Vec<_> = commit.rooms.iter().map(|room| room.room.as_str()).collect();
    assert_eq!(
        rooms,
        [ROOM],
        "nothing is stored of it, and the others go on"
    );
}

#[test]
fn notices_and_signals_reach_those_that_they_are_for() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let commit = bench.do_(7, Act(Action::Whisper(1)));
    let notice = Body::Notice {
        to: 1,
        data: payload("psst"),
    };
    assert_eq!(entries(&commit), [notice, ok(1, 2)]);
    let commit = bench.do_(7, Act(Action::Signal(3)));
    assert_eq!(commit.rooms[0].signals, [payload(&3)]);
    assert_eq!(entries(&commit), [ok(1, 3)]);
}
