use outlast_store::{Answer, Input, Request, Seat};

use super::{
    bench::{Asked, Bench, answers, entries, event, input, quiet, request, sid},
    lab::Action,
};

use Asked::{Act, Join, Leave};

fn over(reason: &str) -> Request {
    Request::Over {
        reason: reason.into(),
    }
}

#[test]
fn s5_an_older_socket_has_no_effect_any_more() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.tell(7, 2, Request::Attached { view: false });
    for late in [
        request(2, Act(Action::Add(1))),
        Request::Attached { view: true },
        Request::View,
    ] {
        for _ in 0..2 {
            let commit = bench.tell(7, 1, late.clone());
            let told = vec![Answer::Superseded { generation: 1 }];
            assert_eq!((entries(&commit), answers(&commit)), (vec![], told));
            bench.crash();
        }
    }
    bench.tell(7, 2, request(2, Act(Action::Add(4))));
    assert_eq!(bench.state(7).total, 4);
}

#[test]
fn s5_an_attach_fences_where_the_session_is_not_in_the_room() {
    let mut bench = Bench::new();
    bench.tell(7, 2, Request::Attached { view: true });
    let commit = bench.tell(7, 1, request(1, Join));
    let told = vec![Answer::Superseded { generation: 1 }];
    assert_eq!((entries(&commit), answers(&commit)), (vec![], told));
    let commit = bench.tell(7, 2, request(1, Join));
    assert!(matches!(answers(&commit)[..], [Answer::Joined { .. }]));
}

#[test]
fn s6_a_session_that_is_over_leaves_and_nothing_more_of_it_counts() {
    for reason in ["ended", "expired"] {
        let mut bench = Bench::new();
        bench.do_(7, Join);
        bench.post(7, Act(Action::Nothing));
        bench.append(input(7, 1, over(reason)));
        bench.post(7, Act(Action::Add(1)));
        let commit = bench.batch().unwrap();
        let left = format!(r#"{{"left":[1,"{reason}"]}}"#);
        assert_eq!(entries(&commit)[1..], [quiet(1, None, &left)]);
        assert_eq!(answers(&commit), []);
        bench.crash();
        for late in [
            request(3, Join),
            Request::Attached { view: true },
            Request::View,
            over(reason),
        ] {
            let commit = bench.tell(7, 9, late);
            assert_eq!((entries(&commit), answers(&commit)), (vec![], vec![]));
        }
    }
}

#[test]
fn s6_a_session_that_was_never_heard_of_can_be_over() {
    let mut bench = Bench::new();
    let commit = bench.tell(7, 1, over("expired"));
    assert_eq!(entries(&commit), []);
    bench.crash();
    let commit = bench.tell(7, 1, request(1, Join));
    assert_eq!((entries(&commit), answers(&commit)), (vec![], vec![]));
}

#[test]
fn s6_who_is_over_is_remembered_for_longer_than_an_append_can_be_late() {
    let mut bench = Bench::new();
    bench.settings.room_ttl_ms = 1_000;
    bench.crash();
    bench.tell(7, 1, over("expired"));
    let ttl_ms = bench.room().ttl_ms.unwrap();
    assert!(ttl_ms >= 60_000, "the room goes after {ttl_ms} ms");
    bench.now_ms += 60_000;
    bench.do_(8, Join);
    bench.do_(8, Leave);
    assert!(bench.seat(7).over_at.is_some());
    bench.now_ms += 3_600_000;
    bench.do_(9, Join);
    bench.do_(9, Leave);
    let seats = &bench.room().load.seats;
    assert!(
        !seats.iter().any(|(of, _)| *of == sid(7)),
        "in the end it is forgotten"
    );
}

#[test]
fn s7_a_room_is_told_once_that_a_member_is_away_and_once_that_it_is_back() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let attached = || Request::Attached { view: false };
    assert_eq!(
        entries(&bench.tell(7, 2, attached())),
        [],
        "it was never away"
    );
    let commit = bench.tell(7, 2, Request::Detached);
    assert_eq!(
        entries(&commit),
        [event(None, None, r#"{"online":[1,false]}"#)]
    );
    assert_eq!(entries(&bench.tell(7, 2, Request::Detached)), []);
    bench.crash();
    let commit = bench.tell(7, 3, attached());
    assert_eq!(
        entries(&commit),
        [event(None, None, r#"{"online":[1,true]}"#)]
    );
    assert_eq!(entries(&bench.tell(7, 3, attached())), []);
}

#[test]
fn s7_a_detach_that_comes_behind_a_newer_socket_is_no_news() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.tell(7, 2, Request::Attached { view: false });
    assert_eq!(entries(&bench.tell(7, 1, Request::Detached)), []);
    assert_eq!(
        entries(&bench.tell(8, 1, Request::Detached)),
        [],
        "nor is a stranger's"
    );
}

#[test]
fn r1_an_attach_is_answered_behind_everything_before_it() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post(7, Act(Action::Add(1)));
    bench.append(input(7, 2, Request::Attached { view: true }));
    bench.append(input(7, 2, request(3, Act(Action::Add(10)))));
    let commit = bench.batch().unwrap();
    match &answers(&commit)[..] {
        [
            Answer::Seated {
                generation: 2,
                member: Some(1),
                n: 2,
                pos,
                joined: Some(joined),
                state: Some(state),
            },
        ] => {
            assert_eq!((pos.off, joined.off), (2, 1));
            assert_eq!(state.read::<super::lab::Lab>().unwrap().total, 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn r1_a_session_outside_is_told_so() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Leave);
    for request in [Request::Attached { view: true }, Request::View] {
        match &answers(&bench.tell(7, 1, request))[..] {
            [
                Answer::Seated {
                    member: None,
                    n: 2,
                    joined: None,
                    state: None,
                    ..
                },
            ] => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_look_changes_nothing() {
    let mut bench = Bench::new();
    let commit = bench.tell(7, 1, Request::View);
    assert_eq!(commit.rooms, []);
    assert_eq!(answers(&commit).len(), 1);
    bench.do_(8, Join);
    let commit = bench.tell(8, 5, Request::View);
    assert_eq!(commit.rooms, []);
    assert_eq!(bench.seat(8).generation, 1);
}

#[test]
fn a_session_keeps_its_number_and_nobody_else_gets_it() {
    let mut bench = Bench::new();
    let member = |commit: &_| match answers(commit)[..] {
        [Answer::Joined { member, .. }] => member,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(member(&bench.do_(7, Join)), 1);
    bench.do_(7, Leave);
    bench.crash();
    assert_eq!(member(&bench.do_(8, Join)), 2);
    assert_eq!(member(&bench.do_(7, Join)), 1);
    bench.tell(7, 1, over("ended"));
    assert_eq!(member(&bench.do_(9, Join)), 3);
}

#[test]
fn what_a_keeper_says_is_answered_to_nobody() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let mut attached = input(7, 1, Request::Attached { view: true });
    attached.gateway = None;
    bench.append(attached);
    assert_eq!(answers(&bench.batch().unwrap()), []);
}

#[test]
fn a_session_that_left_long_ago_is_forgotten() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Leave);
    bench.now_ms += bench.settings.room_ttl_ms + 1;
    bench.do_(8, Join);
    bench.do_(8, Leave);
    let left: Vec<(_, Seat)> = bench.room().load.seats.clone();
    assert_eq!(left.iter().map(|(of, _)| *of).collect::<Vec<_>>(), [sid(8)]);
}

/// A room is told that a session is there, and mostly nobody waits for its answer.
fn arrival(session: u64, generation: u64) -> Input {
    input(session, generation, Request::Arrived)
}

/// A member's arrival waits for company.
fn holding() -> Bench {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.append(arrival(7, 2));
    assert_eq!(bench.batch(), None);
    bench
}

#[test]
fn r1_who_arrives_and_has_left_by_then_is_told() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post(7, Leave);
    bench.append(arrival(7, 2));
    let commit = bench.batch().unwrap();
    let answers = answers(&commit);
    let [
        Answer::Outcome(_),
        Answer::Seated {
            generation: 2,
            member: None,
            ..
        },
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
}

#[test]
fn arrivals_are_held_no_longer_when_the_clock_is_set_back() {
    let mut bench = holding();
    bench.now_ms -= 60_000;
    assert_eq!(bench.batch(), None);
    bench.now_ms = bench.core.next_wake_ms().unwrap();
    assert!(bench.now_ms < 1_000_000);
    assert!(bench.batch().is_some());
}

#[test]
fn arrivals_are_held_for_company_and_committed_with_it() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(8, Join);
    for (session, generation) in [(7, 2), (8, 2), (7, 3)] {
        bench.append(arrival(session, generation));
        assert_eq!(bench.batch(), None);
        assert!(!bench.core.is_behind());
    }
    // What an older socket says after them is refused, as if each had had a commit of its own.
    bench.append(input(7, 2, request(2, Act(Action::Add(1)))));
    bench.append(input(8, 2, request(2, Act(Action::Add(4)))));
    let commit = bench.batch().unwrap();
    assert_eq!(answers(&commit), [Answer::Superseded { generation: 2 }]);
    assert_eq!((bench.seat(7).generation, bench.seat(8).generation), (3, 2));
    assert_eq!(bench.state(7).total, 4);
}

#[test]
fn arrivals_without_company_are_committed_soon() {
    let mut bench = holding();
    let due_ms = bench.core.next_wake_ms().unwrap();
    assert!((1..=200).contains(&(due_ms - bench.now_ms)));
    bench.now_ms = due_ms - 1;
    bench.append(arrival(7, 3));
    assert_eq!(bench.batch(), None, "the first of them sets the time");
    bench.now_ms = due_ms;
    assert!(bench.batch().is_some());
    assert_eq!(bench.seat(7).generation, 3);
    assert_eq!(bench.core.next_wake_ms(), None);
}

#[test]
fn arrivals_that_were_held_are_not_lost_with_the_worker() {
    let mut bench = holding();
    bench.crash();
    assert!(bench.batch().is_some());
    assert_eq!(bench.seat(7).generation, 2);
}

#[test]
fn no_more_arrivals_are_held_than_the_bound() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    for generation in 2..2_000 {
        bench.append(arrival(7, generation));
        if bench.batch().is_some() {
            assert_eq!(bench.seat(7).generation, generation);
            return;
        }
    }
    panic!("all of them were held");
}

#[test]
fn s7_an_arrival_of_who_was_away_is_told_soon() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.tell(7, 1, Request::Detached);
    assert!(bench.seat(7).away);
    bench.append(arrival(7, 2));
    assert_eq!(bench.batch(), None);
    bench.now_ms = bench.core.next_wake_ms().unwrap();
    let commit = bench.batch().unwrap();
    assert_eq!((entries(&commit).len(), bench.seat(7).away), (1, false));
}
