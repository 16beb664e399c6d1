use serde_json::{Value, json};

use super::Chat;
use crate::testing::Stage;

/// A chat with Ada and Bob in it.
fn stage() -> Stage<Chat> {
    let mut stage = Stage::new();
    stage.at_ms(1_000);
    stage
        .join(1, json!({"name": "Ada"}))
        .happens([entered(1, "Ada")]);
    stage
        .join(2, json!({"name": "Bob"}))
        .happens([entered(2, "Bob")]);
    stage
}

fn entered(member: u32, name: &str) -> Value {
    json!({"entered": {"member": member, "name": name}})
}

#[test]
fn b1_who_joins_enters() {
    let members = json!([
        {"member": 1, "name": "Ada", "online": true},
        {"member": 2, "name": "Bob", "online": true},
    ]);
    assert_eq!(stage().view(2), json!({"members": members, "messages": []}));
}

#[test]
fn b1_a_name_has_1_to_40_characters() {
    let mut stage = Stage::<Chat>::new();
    for bad in ["", &"n".repeat(41), "two\nlines", "bell\u{7}", "\u{85}"] {
        stage.join(1, json!({"name": bad})).is_refused("bad_name");
    }
    for bad in [json!({}), json!({"name": 5}), json!(null)] {
        stage.join(1, bad).is_refused("bad_join");
    }
    for (member, good) in (1..).zip(["x", " ", "Zoë 🦀", &"ß".repeat(40)]) {
        let joined = stage.join(member, json!({"name": good}));
        joined.happens([entered(member, good)]);
    }
}

#[test]
fn b1_what_is_said_is_a_message() {
    let mut stage = stage();
    stage.at_ms(2_000);
    stage
        .act(1, json!({"say": "hello"}))
        .happens([json!({"said": "hello"})]);
    let message =
        json!({"pos": "3-7", "member": 1, "name": "Ada", "text": "hello", "at_ms": 2_000});
    assert_eq!(stage.view(2)["messages"], json!([message]));
}

#[test]
fn b1_a_message_has_1_to_2000_characters() {
    let mut stage = stage();
    stage.act(1, json!({"say": ""})).is_refused("bad_text");
    stage
        .act(1, json!({"say": "é".repeat(2_001)}))
        .is_refused("bad_text");
    let longest = "é".repeat(2_000);
    stage
        .act(1, json!({"say": longest}))
        .happens([json!({"said": longest})]);
    for bad in [
        json!({"say": 5}),
        json!({"shout": "hi"}),
        json!("say"),
        json!({}),
    ] {
        stage.act(1, bad).is_refused("bad_action");
    }
}

#[test]
fn b1_typing_is_a_signal_and_no_event() {
    let mut stage = stage();
    for on in [true, false] {
        let typing = stage.act(2, json!({"typing": on}));
        assert_eq!(typing.signals, [json!({"typing": 2, "on": on})]);
        typing.is_taken();
    }
}

#[test]
fn b1_who_loses_the_connection_is_away_and_then_back() {
    let mut stage = stage();
    let online = |stage: &Stage<Chat>| stage.view(1)["members"][1]["online"].clone();
    stage.detach(2).happens([json!({"away": 2})]);
    assert_eq!(online(&stage), false);
    stage.attach(2).happens([json!({"back": 2})]);
    assert_eq!(online(&stage), true);
}

#[test]
fn b1_who_leaves_has_a_reason_and_what_it_said_stays() {
    for reason in ["left", "ended", "expired"] {
        let mut stage = stage();
        stage
            .act(2, json!({"say": "bye"}))
            .happens([json!({"said": "bye"})]);
        let left = json!({"left": {"member": 2, "reason": reason}});
        stage.leave(2, reason).happens([left]);
        let view = stage.view(1);
        assert_eq!(view["members"].as_array().unwrap().len(), 1);
        assert_eq!(view["messages"][0]["name"], "Bob");
        stage
            .join(2, json!({"name": "Rob"}))
            .happens([entered(2, "Rob")]);
        assert_eq!(stage.view(1)["members"][1]["name"], "Rob");
        assert_eq!(stage.view(1)["messages"][0]["name"], "Bob");
    }
}

#[test]
fn b1_the_last_50_messages_are_shown() {
    let mut stage = stage();
    for number in 1..=60 {
        let text = number.to_string();
        stage
            .act(1, json!({"say": text}))
            .happens([json!({"said": text})]);
    }
    let view = stage.view(1);
    let messages = view["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 50);
    assert_eq!(messages[0]["text"], "11");
}

#[test]
fn b1_at_most_32_kib_of_text_are_shown() {
    let mut stage = stage();
    for _ in 0..20 {
        let text = "ü".repeat(2_000);
        stage
            .act(1, json!({"say": text}))
            .happens([json!({"said": text})]);
    }
    let view = stage.view(1);
    let messages = view["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 32 * 1024 / 4_000);
}

#[test]
fn b1_a_backend_speaks_under_the_name_of_its_token() {
    let mut stage = stage();
    stage
        .post("billing", json!({"say": "paid"}))
        .happens([json!({"posted": {"name": "billing", "text": "paid"}})]);
    let message = &stage.view(1)["messages"][0];
    assert_eq!(
        (&message["member"], &message["name"]),
        (&json!(0), &json!("billing"))
    );
    stage
        .post("billing", json!({"say": ""}))
        .is_refused("bad_text");
    stage
        .post("billing", json!({"typing": true}))
        .is_refused("bad_action");
}

#[test]
fn w3_a_chat_is_the_same_after_a_restart() {
    let mut stage = stage();
    stage
        .act(1, json!({"say": "hello"}))
        .happens([json!({"said": "hello"})]);
    stage.detach(2).happens([json!({"away": 2})]);
    let before = stage.view(1);
    stage.restart();
    assert_eq!(stage.view(1), before);
}
