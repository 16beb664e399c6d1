use serde_json::{Value, json};

use super::{LOST_MAX, PROCESSES_MAX, Stats, UNANSWERED_MAX};
use crate::testing::Stage;

/// Somebody watches, and the roll has been called for the first time.
fn stage() -> Stage<Stats> {
    let mut stage = Stage::new();
    stage.at_ms(10_000);
    stage
        .join(1, json!(null))
        .happens([json!({"entered": {"member": 1}})]);
    stage.wake().happens([roll(10_000, &[], &[])]);
    stage
}

fn roll(at_ms: u64, lost: &[&str], forgotten: &[&str]) -> Value {
    json!({"roll": {"at_ms": at_ms, "lost": lost, "forgotten": forgotten}})
}

fn report(id: &str) -> Value {
    json!({"report": {
        "id": id, "host": "web-1", "pid": 7, "version": "0.1.0", "up_ms": 1_500, "partitions": 16,
        "over_ms": 1_000,
        "worker": {"partitions": 16, "rooms": 2, "actions": 30, "events": 20, "commits": 10,
                   "commit_p50_us": 400, "commit_p99_us": 2_000},
    }})
}

fn reports(stage: &mut Stage<Stats>, id: &str) {
    stage.report(report(id)).happens([report(id)]);
}

fn shown(stage: &Stage<Stats>) -> Vec<(String, bool)> {
    let view = stage.view(1);
    let process = |shown: &Value| {
        let id = shown["id"].as_str().unwrap().to_owned();
        (id, shown["lost"].as_bool().unwrap())
    };
    let processes = view["processes"].as_array().unwrap();
    processes.iter().map(process).collect()
}

#[test]
fn b4_the_roll_is_called_once_a_second_while_anybody_watches() {
    let mut stage = stage();
    assert_eq!(stage.wake_at_ms(), Some(11_000));
    stage.wake().happens([roll(11_000, &[], &[])]);
    stage
        .join(2, json!({}))
        .happens([json!({"entered": {"member": 2}})]);
    stage.detach(1).happens([json!({"away": 1})]);
    assert_eq!(stage.wake_at_ms(), Some(12_000));
    stage.detach(2).happens([json!({"away": 2})]);
    assert_eq!(stage.wake_at_ms(), None);
    stage.attach(2).happens([json!({"back": 2})]);
    assert_eq!(stage.wake_at_ms(), Some(12_000));
    for member in [1, 2] {
        let left = json!({"left": {"member": member, "reason": "left"}});
        stage.leave(member, "left").happens([left]);
    }
    assert_eq!(stage.wake_at_ms(), None);
}

#[test]
fn b4_a_report_is_shown() {
    let mut stage = stage();
    reports(&mut stage, "a");
    let view = stage.view(1);
    assert_eq!(view["at_ms"], 10_000);
    assert_eq!(view["watchers"], 1);
    let mut expected = report("a")["report"].take();
    expected["lost"] = json!(false);
    assert_eq!(view["processes"], json!([expected]));
}

#[test]
fn b4_nobody_reports_while_nobody_watches() {
    let mut stage = Stage::<Stats>::new();
    stage.report(report("a")).is_refused("unwatched");
    let mut stage = self::stage();
    stage.detach(1).happens([json!({"away": 1})]);
    stage.report(report("a")).is_refused("unwatched");
}

#[test]
fn b4_who_does_not_answer_is_lost_and_then_forgotten() {
    let mut stage = stage();
    reports(&mut stage, "quiet");
    for second in 1..=u64::from(LOST_MAX) {
        reports(&mut stage, "well");
        let is = |unanswered: u32| second == u64::from(unanswered);
        let lost: &[&str] = if is(UNANSWERED_MAX) { &["quiet"] } else { &[] };
        let forgotten: &[&str] = if is(LOST_MAX) { &["quiet"] } else { &[] };
        let at_ms = 10_000 + second * 1_000;
        stage.wake().happens([roll(at_ms, lost, forgotten)]);
        let quiet = shown(&stage).into_iter().find(|(id, _)| id == "quiet");
        let lost = second >= u64::from(UNANSWERED_MAX);
        let expected = (!is(LOST_MAX)).then(|| ("quiet".to_owned(), lost));
        assert_eq!(quiet, expected, "second {second}");
    }
    assert_eq!(shown(&stage), [("well".to_owned(), false)]);
}

#[test]
fn b4_who_was_lost_and_reports_is_back() {
    let mut stage = stage();
    reports(&mut stage, "a");
    for _ in 0..UNANSWERED_MAX {
        let _ = stage.wake();
    }
    assert_eq!(shown(&stage), [("a".to_owned(), true)]);
    reports(&mut stage, "a");
    assert_eq!(shown(&stage), [("a".to_owned(), false)]);
}

#[test]
fn b4_a_pause_of_the_room_is_nobodys_silence() {
    let mut stage = stage();
    reports(&mut stage, "a");
    stage.at_ms(99_000);
    stage.wake().happens([roll(99_000, &[], &[])]);
    assert_eq!(shown(&stage), [("a".to_owned(), false)]);
}

#[test]
fn b4_who_says_goodbye_is_gone_at_once() {
    let mut stage = stage();
    reports(&mut stage, "a");
    stage
        .report(json!({"goodbye": "a"}))
        .happens([json!({"gone": "a"})]);
    assert_eq!(shown(&stage), []);
    stage.report(json!({"goodbye": "a"})).is_taken();
}

#[test]
fn b4_when_the_last_one_leaves_all_is_forgotten() {
    let mut stage = stage();
    reports(&mut stage, "a");
    let left = json!({"left": {"member": 1, "reason": "expired"}});
    stage.leave(1, "expired").happens([left]);
    assert_eq!(shown(&stage), []);
}

#[test]
fn b4_what_is_shown_is_bounded() {
    let mut stage = stage();
    reports(&mut stage, "oldest");
    stage.wake().happens([roll(11_000, &[], &[])]);
    for number in 1..PROCESSES_MAX {
        reports(&mut stage, &format!("p{number}"));
    }
    stage
        .report(report("one-more"))
        .is_refused("too_many_processes");
    let _ = stage.wake();
    stage.wake().happens([roll(13_000, &["oldest"], &[])]);
    stage
        .report(report("one-more"))
        .happens([json!({"gone": "oldest"}), report("one-more")]);
    assert_eq!(shown(&stage).len(), PROCESSES_MAX);

    let mut long = report("a");
    long["report"]["host"] = json!("h".repeat(65));
    stage.report(long).is_refused("bad_report");
    stage.report(report("")).is_refused("bad_report");
    stage.report(json!({"report": 5})).is_refused("bad_action");
}

#[test]
fn b4_who_watches_can_say_nothing_for_a_process() {
    let mut stage = stage();
    stage.act(1, report("a")).is_refused("no_actions");
    stage.post("backend", report("a")).is_refused("no_posts");
}

#[test]
fn w3_it_is_the_same_after_a_restart() {
    let mut stage = stage();
    reports(&mut stage, "a");
    reports(&mut stage, "b");
    let _ = stage.wake();
    stage
        .report(json!({"goodbye": "b"}))
        .happens([json!({"gone": "b"})]);
    let before = (stage.view(1), stage.wake_at_ms());
    stage.restart();
    assert_eq!((stage.view(1), stage.wake_at_ms()), before);
}
