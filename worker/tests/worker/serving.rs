use std::time::{Duration, Instant};

use outlast_store::{Answer, Body, NodeId, Nudge, Request, SharedStore};
use outlast_worker::{Registry, WorkerSettings};
use serde_json::json;

use crate::{
    client::Client,
    workers::{Worker, owners, store},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_what_is_said_is_logged_and_told_to_everybody() {
    let store: SharedStore = store();
    let worker = Worker::start(&store, 2_000);
    let mut ada = Client::joined(&store, "chat/lobby").await;
    let mut bob = Client::joined(&store, "chat/lobby").await;
    ada.say("hello").await;
    bob.hear_until(|body| {
        matches!(
            body,
            Body::Event {
                by: Some(1),
                n: Some(2),
                ..
            }
        )
    })
    .await;
    let log = store.read_log(&ada.room, 1, 100).await.unwrap();
    assert_eq!(log.entries, ada.log);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_input_waits_for_no_timer() {
    // A machine that is busy with other things all the while is asked again.
    let mut slow = Vec::new();
    while slow.len() < 10 {
        let (took, bare) = medians().await;
        if took < Duration::from_millis(20).max(5 * bare) {
            return;
        }
        slow.push((took, bare));
    }
    panic!("{slow:?}");
}

/// Returns the medians of the time until what is said is logged, and until a nudge is heard.
async fn medians() -> (Duration, Duration) {
    let store: SharedStore = store();
    let worker = Worker::start(&store, 2_000);
    let mut ada = Client::joined(&store, "chat/lobby").await;
    let (_subscriptions, mut ear) = store.listen(&NodeId::random()).await.unwrap();
    let (mut took, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..51 {
        // So that the worker is waiting when the input comes.
        tokio::time::sleep(Duration::from_millis(3)).await;
        took.push(ada.say("x").await);
        tokio::time::sleep(Duration::from_millis(3)).await;
        let start = Instant::now();
        store.nudge(None, &Nudge::Released).await.unwrap();
        ear.next().await;
        bare.push(start.elapsed());
    }
    worker.stop().await;
    took.sort();
    bare.sort();
    (took[25], bare[25])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_a_worker_that_starts_again_goes_on_where_it_was() {
    let store: SharedStore = store();
    let worker = Worker::start(&store, 600);
    let mut ada = Client::joined(&store, "chat/lobby").await;
    ada.say("before").await;
    worker.kill().await;
    ada.post("meanwhile").await;
    let worker = Worker::start(&store, 600);
    let (state, n) = ada.attach().await;
    assert_eq!(n, 3);
    let texts = state["messages"].as_array().unwrap();
    let texts: Vec<_> = texts.iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["before", "meanwhile"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_repeated_act_of_one_who_has_left_is_answered_from_the_stores_log() {
    let store: SharedStore = store();
    let worker = Worker::start(&store, 2_000);
    let mut ada = Client::joined(&store, "chat/lobby").await;
    ada.say("hello").await;
    ada.send(Request::Leave { n: 3 }).await;
    assert!(matches!(ada.answer().await, Answer::Outcome(_)));
    let data = outlast_protocol::Payload::from(&json!({"say": "hello"}));
    ada.send(Request::Act { n: 2, data }).await;
    match ada.answer().await {
        Answer::Outcome(outcome) => assert_eq!((outcome.n, outcome.pos.off), (2, 2)),
        other => panic!("{other:?}"),
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w6_an_input_of_another_version_is_kept_and_the_room_goes_on() {
    let embedded = store();
    let store: SharedStore = embedded.clone();
    let mut ada = Client::new(&store, "chat/lobby").await;
    let partition = store.layout().partition(&ada.room);
    embedded
        .append_text(partition, "{from: the future}")
        .await
        .unwrap();
    let worker = Worker::start(&store, 2_000);
    ada.join().await;
    ada.say("still here").await;
    let kept = store.unread(partition, 9).await;
    assert_eq!(kept, Ok(vec![Err("{from: the future}".to_owned())]));
    // One that holds the partition next leaves it there.
    worker.stop().await;
    let worker = Worker::start(&store, 2_000);
    ada.say("and here").await;
    assert_eq!(store.unread(partition, 9).await, kept);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_kind_takes_no_actions_in_it() {
    let store: SharedStore = store();
    let settings = WorkerSettings::default();
    let worker = Worker::start_with(&store, Registry::new(), settings);
    let mut ada = Client::new(&store, "chat/lobby").await;
    let join = Request::Join {
        n: 1,
        user: "ada".into(),
        data: None,
    };
    ada.send(join).await;
    match ada.answer().await {
        Answer::NotTaken { code, .. } => assert_eq!(code, "unknown_room_kind"),
        other => panic!("{other:?}"),
    }
    worker.stop().await;
    assert!(owners(&store).await.iter().all(Option::is_none));
}
