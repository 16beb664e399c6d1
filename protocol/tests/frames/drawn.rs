//! Frames drawn at random, whole: every variant, with each optional field there and not there.

use outlast_protocol::{
    CatchUp, ClientFrame, CloseCode, Limits, NUMBER_MAX, Payload, Pos, ROOMS_MAX, RoomName,
    ServerFrame, Sid, SnapshotReason, Welcome,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use serde_json::Value;

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let listed = (room(), option::of(pos()));
    let rooms = prop_oneof![
        15 => btree_map(listed.0.clone(), listed.1.clone(), 0..4),
        1 => btree_map(listed.0, listed.1, ROOMS_MAX),
    ];
    prop_oneof![
        (option::of(text()), option::of(text()))
            .prop_map(|(token, client)| ClientFrame::Open { token, client }),
        (text(), text(), option::of(text()), rooms).prop_map(|(sid, key, token, rooms)| {
            ClientFrame::Resume {
                sid,
                key,
                token,
                rooms,
            }
        }),
        (room(), action(), option::of(payload())).prop_map(|(room, n, data)| ClientFrame::Join {
            room,
            n,
            data
        }),
        (room(), action(), payload()).prop_map(|(room, n, data)| ClientFrame::Act {
            room,
            n,
            data
        }),
        (room(), action()).prop_map(|(room, n)| ClientFrame::Leave { room, n }),
        text().prop_map(|token| ClientFrame::Token { token }),
        Just(ClientFrame::Pong {}),
        Just(ClientFrame::End {}),
    ]
}

pub(crate) fn server_frame() -> impl Strategy<Value = ServerFrame> {
    prop_oneof![session(), in_room(), between_sockets()]
}

/// The frames that come once a socket is attached, and of joining.
fn session() -> impl Strategy<Value = ServerFrame> {
    let catch_up = select(vec![CatchUp::Replay, CatchUp::Snapshot, CatchUp::Gone]);
    prop_oneof![
        welcome().prop_map(|welcome| ServerFrame::Welcome { welcome }),
        (welcome(), btree_map(room(), catch_up, 0..4))
            .prop_map(|(welcome, rooms)| ServerFrame::Resumed { welcome, rooms }),
        (room(), number(), any::<u32>(), pos(), payload()).prop_map(
            |(room, n, member, pos, state)| ServerFrame::Joined {
                room,
                n,
                member,
                pos,
                state,
            }
        ),
        (room(), option::of(number()), text()).prop_map(|(room, n, reason)| ServerFrame::Left {
            room,
            n,
            reason
        }),
    ]
}

fn in_room() -> impl Strategy<Value = ServerFrame> {
    let answer = (
        option::of(payload()),
        option::of(text()),
        option::of(text()),
    );
    let reason = select(vec![
        SnapshotReason::Trimmed,
        SnapshotReason::Diverged,
        SnapshotReason::Requested,
        SnapshotReason::Shorter,
    ]);
    prop_oneof![
        (
            room(),
            pos(),
            option::of(any::<u32>()),
            option::of(number()),
            payload()
        )
            .prop_map(|(room, pos, by, n, data)| ServerFrame::Event {
                room,
                pos,
                by,
                n,
                data,
            }),
        (room(), pos(), payload()).prop_map(|(room, pos, data)| ServerFrame::Notice {
            room,
            pos,
            data
        }),
        (room(), number(), pos(), any::<bool>(), answer).prop_map(
            |(room, n, pos, ok, (data, code, message))| ServerFrame::Result {
                room,
                n,
                pos,
                ok,
                data,
                code,
                message,
            }
        ),
        (room(), pos(), payload(), any::<u32>(), number(), reason).prop_map(
            |(room, pos, state, member, n, reason)| ServerFrame::Snapshot {
                room,
                pos,
                state,
                member,
                n,
                reason,
            }
        ),
        (room(), pos()).prop_map(|(room, pos)| ServerFrame::Live { room, pos }),
        (room(), payload()).prop_map(|(room, data)| ServerFrame::Signal { room, data }),
        (room(), number()).prop_map(|(room, expect)| ServerFrame::Gap { room, expect }),
    ]
}

/// The frames about the connection itself.
fn between_sockets() -> impl Strategy<Value = ServerFrame> {
    let retry = || option::of(number());
    prop_oneof![
        (
            text(),
            text(),
            option::of(text()),
            option::of(number()),
            retry()
        )
            .prop_map(|(code, message, room, n, retry_ms)| ServerFrame::Error {
                code,
                message,
                room,
                n,
                retry_ms,
            }),
        Just(ServerFrame::Ping {}),
        (number(), number()).prop_map(|(after_ms, by_ms)| ServerFrame::Move { after_ms, by_ms }),
        number().prop_map(|retry_ms| ServerFrame::Busy { retry_ms }),
        (
            select(CloseCode::ALL.to_vec()),
            text(),
            any::<bool>(),
            retry()
        )
            .prop_map(|(code, reason, resume, retry_ms)| ServerFrame::Bye {
                code,
                reason,
                resume,
                retry_ms,
            }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let limits = (any::<usize>(), any::<u32>());
    let times = (number(), number(), number());
    (any::<u128>(), text(), times, limits).prop_map(
        |(sid, key, (generation, ttl_ms, heartbeat_ms), (frame_bytes, actions_per_s))| Welcome {
            sid: Sid::from_u128(sid),
            key,
            generation,
            ttl_ms,
            heartbeat_ms,
            limits: Limits {
                frame_bytes,
                actions_per_s,
            },
        },
    )
}

/// Any JSON value of bounded depth, and numbers that only a text can hold.
fn payload() -> impl Strategy<Value = Payload> {
    let long_number = r"-?[1-9][0-9]{0,40}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?";
    prop_oneof![
        7 => json().prop_map(|value| Payload::of(&value).unwrap()),
        1 => long_number.prop_map(|text| Payload::from_json(text).unwrap()),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(crate) fn room() -> impl Strategy<Value = RoomName> + Clone {
    prop_oneof![
        "[a-z0-9._-]{1,8}/[a-z0-9._-]{1,8}",
        "[a-z0-9._-]{1,60}/[a-z0-9._-]{1,67}",
    ]
    .prop_map(|name| name.parse().unwrap())
}

pub(crate) fn pos() -> impl Strategy<Value = Pos> + Clone {
    let part = || {
        prop_oneof![
            0..3u64,
            0..=u64::from(u32::MAX),
            NUMBER_MAX - 1..=NUMBER_MAX
        ]
    };
    (part(), part()).prop_map(|(off, tag)| Pos { off, tag })
}

/// The number of an action, as a client may write it.
fn action() -> impl Strategy<Value = u64> {
    prop_oneof![1..200u64, 1..=NUMBER_MAX, Just(NUMBER_MAX)]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..200u64, any::<u64>(), Just(u64::MAX)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{0,8}",
        ".{0,12}",
        r#"[\x00-\x1f"\\/\u{2028}\u{10000}-\u{10ffff}]{0,6}"#
    ]
}
