//! The properties of every frame, position and room name, not only of those that somebody thought of.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use outlast_protocol::{BadRoomName, Codec, Pos, RoomName, ServerFrame};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::Value;

#[path = "frames/drawn.rs"]
mod drawn;

/// A failure prints the smallest input that fails; no file keeps it. `PROPTEST_RNG_SEED` chooses the
/// inputs.
fn config() -> Config {
    Config {
        failure_persistence: None,
        cases: 1024,
        ..Config::default()
    }
}

/// Both encodings of one frame hold the same map.
fn same_map(json: &[u8], msgpack: &[u8]) -> Result<(), TestCaseError> {
    let json: Value = serde_json::from_slice(json).unwrap();
    let msgpack: Value = rmp_serde::from_slice(msgpack).unwrap();
    prop_assert_eq!(json, msgpack);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn h1_client_frames_are_the_same_in_both_codecs(frame in drawn::client_frame()) {
        let [json, msgpack] = Codec::ALL.map(|codec| codec.encode_client(&frame));
        same_map(&json, &msgpack)?;
        prop_assert_eq!(Codec::Json.decode_client(&json), Ok(frame.clone()));
        prop_assert_eq!(Codec::MsgPack.decode_client(&msgpack), Ok(frame.clone()));
    }

    #[test]
    fn h1_server_frames_are_the_same_in_both_codecs(frame in drawn::server_frame()) {
        let [json, msgpack] = Codec::ALL.map(|codec| codec.encode_server(&frame));
        same_map(&json, &msgpack)?;
        prop_assert_eq!(Codec::Json.decode_server(&json), Ok(frame.clone()));
        prop_assert_eq!(Codec::MsgPack.decode_server(&msgpack), Ok(frame.clone()));
    }

    #[test]
    fn h1_a_frame_survives_any_way_through_the_codecs(frame in drawn::server_frame()) {
        let mut gone_round = frame.clone();
        for codec in [Codec::MsgPack, Codec::Json, Codec::MsgPack, Codec::Json] {
            gone_round = codec.decode_server(&codec.encode_server(&gone_round)).unwrap();
        }
        prop_assert_eq!(gone_round, frame);
    }

    #[test]
    fn h1_a_sid_is_text_in_both_codecs(frame in drawn::server_frame()) {
        if let ServerFrame::Welcome { welcome } | ServerFrame::Resumed { welcome, .. } = &frame {
            let msgpack = Codec::MsgPack.encode_server(&frame);
            let map: Value = rmp_serde::from_slice(&msgpack).unwrap();
            prop_assert_eq!(&map["sid"], &Value::from(welcome.sid.to_string()));
        }
    }

    #[test]
    fn a_position_reads_what_it_prints(pos in drawn::pos()) {
        prop_assert_eq!(pos.to_string().parse(), Ok(pos));
    }

    #[test]
    fn r3_a_text_is_the_print_of_a_position_or_none(
        text in prop_oneof![any::<String>(), "[0-9]{0,17}-[0-9]{0,17}", "[-+0-9 ]{0,8}"]
    ) {
        if let Ok(pos) = text.parse::<Pos>() {
            prop_assert_eq!(pos.to_string(), text);
        }
    }

    #[test]
    fn a_room_name_reads_what_it_prints(room in drawn::room()) {
        prop_assert_eq!(room.to_string().parse(), Ok(room));
    }

    #[test]
    fn a_text_is_a_room_name_as_it_stands_or_none(
        text in prop_oneof![
            any::<String>(),
            "[a-z0-9._/-]{0,12}",
            "[a-z0-9._-]{0,70}/[a-z0-9._-]{0,70}",
            "[A-Za-z0-9ü%/ ]{0,8}/[a-z]{1,4}",
        ]
    ) {
        let bare = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let allowed = text.len() <= RoomName::BYTES_MAX
            && text.split('/').count() == 2
            && text.split('/').all(|part| !part.is_empty() && part.chars().all(bare));
        match text.parse::<RoomName>() {
            Ok(room) => {
                prop_assert!(allowed);
                prop_assert_eq!(room.to_string(), text);
            }
            Err(BadRoomName) => prop_assert!(!allowed),
        }
    }
}

/// The properties above would say nothing of a frame that is never drawn.
#[test]
fn every_frame_of_the_contract_is_drawn() {
    let contract = include_str!("../../SPEC.md");
    let between = |from: &str, to: &str| {
        let section = contract.split(from).nth(1).unwrap();
        let section = section.split(to).next().unwrap();
        let frames = section.split(r#"{"t":""#).skip(1);
        frames
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let mut runner = TestRunner::deterministic();
    let t = |frame: Vec<u8>| {
        let map: Value = serde_json::from_slice(&frame).unwrap();
        map["t"].as_str().unwrap().to_owned()
    };
    let (mut clients, mut servers) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..500 {
        let client = drawn::client_frame()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        clients.insert(t(Codec::Json.encode_client(&client)));
        let server = drawn::server_frame()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        servers.insert(t(Codec::Json.encode_server(&server)));
    }
    assert_eq!(clients, between("## 2 ", "## 3 "));
    assert_eq!(servers, between("## 3 ", "## 4 "));
}
