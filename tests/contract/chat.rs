//! Section 12, B1: the room `chat`.

use outlast_testkit::{
    Server,
    frames::{act, join, leave},
};
use serde_json::json;

#[tokio::test]
async fn b1_names_have_1_to_40_characters() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    let mut n = 0;
    for (data, ok) in [
        (json!(null), false),
        (json!({}), false),
        (json!({"name": 7}), false),
        (json!({"name": ""}), false),
        (json!({"name": "x".repeat(41)}), false),
        (json!({"name": "ü".repeat(40)}), true),
    ] {
        n += 1;
        client
            .send(json!({"t": "join", "room": "chat/b1", "n": n, "data": data}))
            .await;
        let outcome = client.next().await;
        match ok {
            true => assert_eq!(outcome["t"], "joined", "{outcome}"),
            false => assert_eq!((&outcome["ok"], &outcome["n"]), (&json!(false), &json!(n))),
        }
    }
}

#[tokio::test]
async fn b1_what_is_said_reaches_everybody_and_stays() {
    let server = Server::alone(&[]);
    let mut ada = server.member("chat/b1", "Ada").await;
    let mut bo = server.member("chat/b1", "Bo").await;
    let entered = ada.expect("event").await;
    assert_eq!(
        entered["data"],
        json!({"entered": {"member": bo.member, "name": "Bo"}})
    );
    let text = "ü".repeat(2_000);
    let came = ada.say("chat/b1", 2, &text).await;
    let event = came.last().unwrap();
    assert_eq!(&bo.expect("event").await, event);
    let mut cy = server.open().await;
    let joined = cy.join("chat/b1", 1, "Cy").await;
    let message = &joined["state"]["messages"][0];
    assert_eq!(message["pos"], event["pos"]);
    assert_eq!(
        (&message["member"], &message["name"]),
        (&json!(ada.member), &json!("Ada"))
    );
    assert_eq!(message["text"], json!(text));
    assert!(message["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(
        joined["state"]["members"],
        json!([
            {"member": ada.member, "name": "Ada", "online": true},
            {"member": bo.member, "name": "Bo", "online": true},
            {"member": cy.member, "name": "Cy", "online": true},
        ])
    );
}

#[tokio::test]
async fn b1_typing_is_a_signal_and_a_result() {
    let server = Server::alone(&[]);
    let mut ada = server.member("chat/b1", "Ada").await;
    let mut bo = server.member("chat/b1", "Bo").await;
    bo.send(act("chat/b1", 2, json!({"typing": true}))).await;
    let result = bo.find("result").await;
    assert_eq!((&result["n"], &result["ok"]), (&json!(2), &json!(true)));
    let signal = ada.find("signal").await;
    assert_eq!(
        signal,
        json!({"t": "signal", "room": "chat/b1", "data": {"typing": bo.member, "on": true}})
    );
    let came = ada
        .say("chat/b1", 2, "and nothing was logged of it for others")
        .await;
    assert!(came.iter().all(|frame| frame["t"] != "result"), "{came:#?}");
}

#[tokio::test]
async fn b1_the_last_fifty_messages_of_32_kib_at_most() {
    let server = Server::alone(&["--actions-per-s", "10000"]);
    let mut ada = server.member("chat/b1", "Ada").await;
    for n in 2..=61 {
        ada.say("chat/b1", n, &n.to_string()).await;
    }
    let mut bo = server.open().await;
    let joined = bo.join("chat/b1", 1, "Bo").await;
    let messages = joined["state"]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 50);
    assert_eq!(
        (&messages[0]["text"], &messages[49]["text"]),
        (&json!("12"), &json!("61"))
    );
    for n in 62..=90 {
        ada.say("chat/b1", n, &"y".repeat(2_000)).await;
    }
    let mut cy = server.open().await;
    let joined = cy.join("chat/b1", 1, "Cy").await;
    let messages = joined["state"]["messages"].as_array().unwrap();
    let bytes: usize = messages
        .iter()
        .map(|m| m["text"].as_str().unwrap().len())
        .sum();
    assert!(bytes <= 32 * 1024, "{bytes}");
    assert_eq!(messages.len(), 16, "as many as fit");
}

#[tokio::test]
async fn b1_leaving_is_told_with_its_reason() {
    let server = Server::alone(&[]);
    let mut ada = server.member("chat/b1", "Ada").await;
    let mut bo = server.member("chat/b1", "Bo").await;
    ada.expect("event").await;
    bo.send(leave("chat/b1", 2)).await;
    assert_eq!(bo.expect("left").await["reason"], "left");
    let left = json!({"left": {"member": bo.member, "reason": "left"}});
    assert_eq!(ada.expect("event").await["data"], left);
    bo.send(join("chat/b1", 3, "Bo")).await;
    bo.expect("joined").await;
    assert_eq!(
        ada.expect("event").await["data"]["entered"]["member"],
        bo.member
    );
}
