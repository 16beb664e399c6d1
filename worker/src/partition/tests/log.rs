use outlast_store::{Commit, Request};

use super::{
    bench::{Asked, Bench, answers, input},
    lab::{Action, TRIED},
};
use crate::WorkerSettings;

use Asked::{Act, Join, Leave};

fn settings() -> WorkerSettings {
    WorkerSettings {
        log_entries: 20,
        log_age_ms: 10_000,
        snapshot_every: 4,
        ..WorkerSettings::default()
    }
}

fn add(bench: &mut Bench, times: usize) {
    for _ in 0..times {
        bench.do_(7, Act(Action::Add(1)));
    }
}

#[test]
fn e2_the_log_keeps_its_newest_entries() {
    let mut bench = Bench::with(settings());
    bench.do_(7, Join);
    add(&mut bench, 100);
    let offs: Vec<_> = bench.log().iter().map(|entry| entry.pos.off).collect();
    assert!((20..=24).contains(&offs.len()), "{offs:?}");
    assert_eq!(offs.last(), Some(&101));
    let trims = bench.shelf.commits.iter();
    let trims = trims.filter(|commit| commit.rooms[0].trim_below.is_some());
    assert!(
        trims.count() <= 101 / 4,
        "it is not trimmed with each commit"
    );
    bench.crash();
    assert_eq!(bench.state(7).total, 100);
}

#[test]
fn e2_entries_of_some_age_go() {
    let mut bench = Bench::with(settings());
    bench.do_(7, Join);
    add(&mut bench, 6);
    bench.now_ms += 9_000;
    add(&mut bench, 1);
    let first = |bench: &Bench| bench.log().first().unwrap().pos.off;
    assert_eq!(first(&bench), 1, "nothing is old enough");
    bench.now_ms += 2_000;
    add(&mut bench, 1);
    assert_eq!(first(&bench), 5, "up to the first snapshot");
    bench.now_ms += 60_000;
    add(&mut bench, 1);
    assert_eq!(first(&bench), 9, "up to the second");
    bench.now_ms += 60_000;
    add(&mut bench, 1);
    bench.now_ms += 60_000;
    bench.do_(7, Leave);
    assert_eq!(first(&bench), 11, "up to the third");
    bench.crash();
    bench.do_(7, Join);
    assert_eq!(bench.state(7).total, 10);
}

#[test]
fn e2_the_last_entry_stays() {
    let mut bench = Bench::with(WorkerSettings {
        log_entries: 0,
        log_age_ms: 0,
        ..settings()
    });
    bench.do_(7, Join);
    add(&mut bench, 5);
    assert_eq!(bench.log().len(), 1);
    bench.now_ms += 1_000;
    add(&mut bench, 1);
    assert_eq!(bench.log()[0].pos.off, 7);
}

#[test]
fn e2_a_room_without_members_leaves_memory_and_later_the_store() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    assert_eq!(bench.core.rooms_in_memory(), 1);
    assert_eq!(bench.room().ttl_ms, None);
    bench.do_(7, Leave);
    assert_eq!(bench.core.rooms_in_memory(), 0);
    assert_eq!(bench.room().ttl_ms, Some(24 * 3_600_000));
    let snapshot = bench.room().load.snapshot.clone().unwrap();
    assert_eq!(snapshot.pos, bench.room().load.last);
    bench.do_(8, Join);
    assert_eq!(bench.room().ttl_ms, None, "somebody is there again");
}

#[test]
fn w2_each_commit_starts_where_the_one_before_ended() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    add(&mut bench, 3);
    let commits = &bench.shelf.commits;
    assert!(commits.windows(2).all(|pair| pair[0].to == pair[1].from));
    let tag = |commit: &Commit| commit.rooms[0].entries[0].pos.tag;
    assert!(
        commits
            .windows(2)
            .all(|pair| tag(&pair[0]) != tag(&pair[1]))
    );
}

#[test]
fn w2_what_came_to_nothing_is_not_read_again() {
    let mut bench = Bench::new();
    bench.tell(7, 1, Request::Detached);
    let after = bench.shelf.cursor.topic;
    assert_eq!(bench.core.read_after(), after);
    assert!(bench.batch().is_none());
}

#[test]
fn w3_a_restart_gives_the_same_room() {
    let mut bench = Bench::with(settings());
    bench.do_(7, Join);
    bench.do_(8, Join);
    for _ in 0..30 {
        bench.do_(7, Act(Action::Roll));
        bench.do_(8, Act(Action::Add(1)));
        let before = bench.state(7);
        bench.crash();
        assert_eq!(bench.state(7), before);
    }
}

#[test]
fn w3_the_rooms_clock_never_goes_back() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::WakeAt(bench.now_ms + 900)));
    bench.now_ms += 900;
    bench.batch().unwrap();
    let at_ms = bench.now_ms;
    // What was appended before that time is taken up after it, by a worker that knows no better.
    bench.now_ms -= 500;
    bench.crash();
    bench.do_(7, Act(Action::Add(1)));
    assert_eq!(bench.log().last().unwrap().at, at_ms);
}

#[test]
fn w4_a_hand_over_writes_down_what_the_next_worker_would_fold() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    add(&mut bench, 5);
    assert!(bench.room().load.snapshot.is_none());
    assert!(bench.hand_over());
    assert_eq!(bench.room().load.entries, []);
    bench.crash();
    assert_eq!(bench.state(7).total, 5);
    assert!(!bench.hand_over(), "nothing has changed since");
}

#[test]
fn a_room_is_loaded_once_a_batch_and_not_again_while_it_has_members() {
    let mut bench = Bench::new();
    for session in 0..50 {
        bench.post(session, Join);
    }
    bench.batch();
    bench.do_(3, Act(Action::Add(1)));
    assert_eq!(bench.loads, 1);
}

#[test]
fn a_commit_is_bounded_and_the_next_goes_on_where_it_ended() {
    let mut bench = Bench::new();
    for session in 0..2_000 {
        bench.post(session, Join);
    }
    for session in 0..2_000 {
        // Each answer shows a room of two thousand.
        bench.append(input(session, 2, Request::Attached { view: true }));
    }
    let mut told = 0;
    let mut commits = 0;
    while told < 4_000 {
        let commit = bench.batch().expect("there is more to do");
        let bytes: usize = commit.replies.iter().map(|(_, reply)| size(reply)).sum();
        assert!(bytes < 1_200_000, "{bytes}");
        told += answers(&commit).len();
        commits += 1;
    }
    assert!(commits > 10);
    assert!(!bench.core.is_behind());
}

fn size(reply: &outlast_store::Reply) -> usize {
    serde_json::to_string(reply).unwrap().len()
}

#[test]
fn e2_a_state_that_cannot_be_written_down_is_tried_again_now_and_then() {
    let mut bench = Bench::with(settings());
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Tear(true)));
    let before = TRIED.get();
    add(&mut bench, 20);
    let tried = TRIED.get() - before;
    assert!((4..=6).contains(&tried), "{tried} times in 20 commits");
    bench.now_ms += 60_000;
    add(&mut bench, 1);
    let before = TRIED.get();
    add(&mut bench, 2);
    assert_eq!(TRIED.get(), before, "nor for its age");
    // Nothing is lost meanwhile, and all is well when it can be.
    assert_eq!(bench.log().len() as u64, bench.room().load.last.off);
    bench.do_(7, Act(Action::Tear(false)));
    add(&mut bench, 5);
    let snapshot = bench.room().load.snapshot.clone().unwrap();
    assert!(snapshot.pos.off + 5 > bench.room().load.last.off);
    bench.crash();
    assert_eq!(bench.state(7).total, 28);
}
