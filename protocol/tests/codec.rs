//! The bytes that go over the wire, as SPEC sections 2 and 3 write them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use outlast_protocol::{ClientFrame, Codec, DecodeError, Payload, ServerFrame};
use serde_json::{Value, json};

fn decode(frame: &Value) -> Result<ClientFrame, DecodeError> {
    let json = Codec::Json.decode_client(frame.to_string().as_bytes());
    let msgpack = Codec::MsgPack.decode_client(&rmp_serde::to_vec_named(frame).unwrap());
    assert_eq!(
        json.is_ok(),
        msgpack.is_ok(),
        "{frame}: {json:?} but {msgpack:?}"
    );
    if json.is_ok() {
        assert_eq!(json, msgpack);
    }
    json
}

fn malformed(frame: &Value) -> String {
    match decode(frame) {
        Err(DecodeError::Malformed(message)) => message,
        other => panic!("{frame} should be malformed, but is {other:?}"),
    }
}

#[test]
fn h1_both_codecs_carry_the_same_maps() {
    let frames = [
        json!({"t": "open"}),
        json!({"t": "open", "token": "x.y.z", "client": "test"}),
        json!({"t": "resume", "sid": "s", "key": "k", "rooms": {"chat/a": "15-4821", "game/a": null}}),
        json!({"t": "join", "room": "chat/a", "n": 1, "data": {"name": "Ada"}}),
        json!({"t": "act", "room": "chat/a", "n": 2, "data": {"say": ["ü", 1.5, -3, null, true]}}),
        json!({"t": "leave", "room": "chat/a", "n": 3}),
        json!({"t": "token", "token": "x"}),
        json!({"t": "pong"}),
        json!({"t": "end"}),
    ];
    for written in frames {
        let frame = decode(&written).unwrap();
        let json: Value = serde_json::from_slice(&Codec::Json.encode_client(&frame)).unwrap();
        assert_eq!(json, written);
        let msgpack: Value = rmp_serde::from_slice(&Codec::MsgPack.encode_client(&frame)).unwrap();
        assert_eq!(msgpack, written);
    }
}

#[test]
fn server_frames_are_written_as_the_contract_says() {
    let frames = [
        json!({"t": "welcome", "sid": "0190163d-8694-739b-aea5-966c26f8ad90", "key": "k", "gen": 1,
            "ttl_ms": 120000, "heartbeat_ms": 25000,
            "limits": {"frame_bytes": 65536, "actions_per_s": 50}}),
        json!({"t": "resumed", "sid": "0190163d-8694-739b-aea5-966c26f8ad90", "key": "k", "gen": 2,
            "ttl_ms": 120000, "heartbeat_ms": 25000,
            "limits": {"frame_bytes": 65536, "actions_per_s": 50},
            "rooms": {"chat/a": "replay", "chat/b": "snapshot", "chat/c": "gone"}}),
        json!({"t": "joined", "room": "chat/a", "n": 1, "member": 3, "pos": "4-99", "state": {}}),
        json!({"t": "event", "room": "chat/a", "pos": "5-99", "by": 3, "n": 2, "data": {"said": "x"}}),
        json!({"t": "event", "room": "chat/a", "pos": "5-99", "data": [1]}),
        json!({"t": "notice", "room": "chat/a", "pos": "5-99", "data": 1}),
        json!({"t": "result", "room": "chat/a", "n": 2, "pos": "6-1", "ok": true}),
        json!({"t": "result", "room": "chat/a", "n": 2, "pos": "6-1", "ok": false, "code": "c",
            "message": "m"}),
        json!({"t": "snapshot", "room": "chat/a", "pos": "6-1", "state": {}, "member": 3, "n": 2,
            "reason": "trimmed"}),
        json!({"t": "live", "room": "chat/a", "pos": "6-1"}),
        json!({"t": "signal", "room": "chat/a", "data": {"typing": 3, "on": true}}),
        json!({"t": "left", "room": "chat/a", "n": 3, "reason": "left"}),
        json!({"t": "gap", "room": "chat/a", "expect": 3}),
        json!({"t": "error", "code": "busy", "message": "m", "room": "chat/a", "n": 4, "retry_ms": 9}),
        json!({"t": "ping"}),
        json!({"t": "move", "after_ms": 1, "by_ms": 2}),
        json!({"t": "busy", "retry_ms": 2}),
        json!({"t": "bye", "code": 4000, "reason": "moved", "resume": true, "retry_ms": 5}),
    ];
    for written in frames {
        let frame: ServerFrame = Codec::Json
            .decode_server(written.to_string().as_bytes())
            .unwrap();
        for codec in Codec::ALL {
            let bytes = codec.encode_server(&frame);
            assert_eq!(codec.decode_server(&bytes).unwrap(), frame);
        }
        let json: Value = serde_json::from_slice(&Codec::Json.encode_server(&frame)).unwrap();
        assert_eq!(json, written);
    }
}

#[test]
fn f2_what_is_no_frame_is_malformed() {
    for (frame, told) in [
        (json!([]), "map"),
        (json!("open"), "map"),
        (json!({}), "t"),
        (json!({"t": 1}), "string"),
        (json!({"t": "join", "n": 1}), "room"),
        (json!({"t": "join", "room": "chat/a"}), "`n`"),
        (json!({"t": "act", "room": "chat/a", "n": 1}), "data"),
        (
            json!({"t": "act", "room": "chat/a", "n": 0, "data": 1}),
            "`n`",
        ),
        (
            json!({"t": "act", "room": "chat/a", "n": -1, "data": 1}),
            "",
        ),
        (
            json!({"t": "act", "room": "chat/a", "n": 1.5, "data": 1}),
            "",
        ),
        (
            json!({"t": "act", "room": "chat/a", "n": 9007199254740992u64, "data": 1}),
            "`n`",
        ),
        (json!({"t": "act", "room": 5, "n": 1, "data": 1}), "string"),
        (json!({"t": "resume", "sid": "s", "key": "k"}), "rooms"),
        (
            json!({"t": "resume", "sid": "s", "key": "k", "rooms": {"chat/a": "15"}}),
            "position",
        ),
        (
            json!({"t": "resume", "sid": "s", "key": "k", "rooms": {"chat/a/b": null}}),
            "room",
        ),
    ] {
        let message = malformed(&frame);
        assert!(
            message.contains(told),
            "{frame}: {message:?} does not mention {told:?}"
        );
    }
    for text in [
        "",
        "{",
        "{\"t\":\"pong\"} {}",
        "nonsense",
        "{\"t\":\"pong\"}x",
    ] {
        let read = Codec::Json.decode_client(text.as_bytes());
        assert!(
            matches!(read, Err(DecodeError::Malformed(_))),
            "{text:?}: {read:?}"
        );
    }
    assert!(matches!(
        Codec::Json.decode_client(b"{\"t\":\"\xff\"}"),
        Err(DecodeError::Malformed(_))
    ));
    let behind = [
        Codec::MsgPack.encode_client(&ClientFrame::Pong {}),
        vec![0xc0],
    ]
    .concat();
    assert!(matches!(
        Codec::MsgPack.decode_client(&behind),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn f2_depth_is_bounded_in_both_codecs() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let act = |data: Value| json!({"t": "act", "room": "chat/a", "n": 1, "data": data});
    assert!(decode(&act(nested(40))).is_ok());
    assert!(decode(&act(nested(63))).is_ok());
    malformed(&act(nested(64)));
    malformed(&act(nested(100)));
    let bomb = [
        &b"{\"t\":\"act\",\"room\":\"a/b\",\"n\":1,\"data\":"[..],
        &[b'['; 60_000],
    ]
    .concat();
    assert!(matches!(
        Codec::Json.decode_client(&bomb),
        Err(DecodeError::Malformed(_))
    ));
    let bomb = [&b"\x82\xa1t\xa3act\xa4data"[..], &[0x91; 60_000]].concat();
    assert!(matches!(
        Codec::MsgPack.decode_client(&bomb),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn unknown_types_and_bad_rooms_are_told_apart_from_malformed_frames() {
    assert_eq!(
        decode(&json!({"t": "dance", "n": "any"})),
        Err(DecodeError::UnknownType("dance".into()))
    );
    let bad_room = DecodeError::BadRoom {
        room: "chat/a/b".into(),
        n: 7,
    };
    assert_eq!(
        decode(&json!({"t": "join", "room": "chat/a/b", "n": 7})),
        Err(bad_room)
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let frame =
        decode(&json!({"t": "leave", "room": "chat/a", "n": 3, "later": {"x": 1}})).unwrap();
    assert_eq!(
        frame,
        ClientFrame::Leave {
            room: "chat/a".parse().unwrap(),
            n: 3
        }
    );
}

#[test]
fn payloads_keep_their_json_text() {
    let text = r#"{"t":"act","room":"chat/a","n":1,"data":{"b":1,"a":12345678901234567890123}}"#;
    let ClientFrame::Act { data, .. } = Codec::Json.decode_client(text.as_bytes()).unwrap() else {
        panic!("not an act");
    };
    assert_eq!(data.as_json(), r#"{"b":1,"a":12345678901234567890123}"#);
    assert_eq!(data, Payload::from_json(data.as_json().to_owned()).unwrap());
}
