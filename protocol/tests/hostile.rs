//! F2: whatever comes over the wire, the decoders answer; what they take is a frame like any other.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use outlast_protocol::{ClientFrame, Codec, ServerFrame};
use outlast_testkit::seeded;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rand::{Rng, RngExt, rngs::StdRng, seq::IndexedRandom};

#[path = "frames/drawn.rs"]
mod drawn;

/// The number of messages that each test sends: two seconds of them without optimisation.
const MESSAGES: usize = 80_000;

/// The number of times that one valid frame is spoilt before the next is drawn.
const PER_FRAME: usize = 16;

#[test]
fn f2_spoilt_frames_do_no_harm() {
    let mut rng = seeded();
    let mut runner = runner(&mut rng);
    for _ in 0..MESSAGES / PER_FRAME {
        let codec = *Codec::ALL.choose(&mut rng).unwrap();
        let frame = if rng.random() {
            let frame = drawn::client_frame().new_tree(&mut runner).unwrap();
            codec.encode_client(&frame.current())
        } else {
            let frame = drawn::server_frame().new_tree(&mut runner).unwrap();
            codec.encode_server(&frame.current())
        };
        for _ in 0..PER_FRAME {
            let mut message = frame.clone();
            for _ in 0..rng.random_range(1..4) {
                spoil(&mut message, codec, &mut rng);
            }
            receive(codec, &message);
        }
    }
}

#[test]
fn f2_random_bytes_do_no_harm() {
    let mut rng = seeded();
    for _ in 0..MESSAGES {
        let codec = *Codec::ALL.choose(&mut rng).unwrap();
        let mut message = vec![0; rng.random_range(0..200)];
        rng.fill_bytes(&mut message);
        if let (Some(first), true) = (message.first_mut(), rng.random()) {
            *first = match codec {
                Codec::Json => b'{',
                Codec::MsgPack => 0x80 | (*first & 0x0f),
            };
        }
        receive(codec, &message);
    }
}

/// Payloads that are JSON, or look like it, but that no value can be made of.
#[test]
fn f2_payloads_that_are_no_values_are_refused() {
    let deep = "[".repeat(100) + &"]".repeat(100);
    for data in [
        "1e999".into(),
        "[-1e999]".into(),
        r#""\ud800""#.into(),
        r#"{"\udc00":1}"#.into(),
        r#"{"$serde_json::private::RawValue":"nonsense"}"#.into(),
        r#"{"$serde_json::private::RawValue":"1"}"#.into(),
        r#"{"\u0024serde_json::private::RawValue":"1"}"#.into(),
        format!(r#"{{"$serde_json::private::RawValue":"{deep}"}}"#),
    ] as [String; 8]
    {
        for t in ["join", "act"] {
            let message = format!(r#"{{"t":"{t}","room":"a/b","n":1,"data":{data}}}"#);
            receive(Codec::Json, message.as_bytes());
            let read = Codec::Json.decode_client(message.as_bytes());
            assert!(read.is_err(), "{message} should be malformed: {read:?}");
        }
    }
    let mut msgpack = b"\x84\xa1t\xa3act\xa4room\xa3a/b\xa1n\x01\xa4data\x81\xbe".to_vec();
    msgpack.extend_from_slice(b"$serde_json::private::RawValue");
    for text in [&b"\xa11"[..], b"\xa3[1]", b"\xa1x"] {
        let message = [&msgpack[..], text].concat();
        receive(Codec::MsgPack, &message);
        let read = Codec::MsgPack.decode_client(&message);
        assert!(read.is_err(), "{text:?} should be malformed: {read:?}");
    }
}

/// Hands a message to both decoders. What they take must come through either codec unchanged.
fn receive(codec: Codec, message: &[u8]) {
    let looked_at = catch_unwind(AssertUnwindSafe(|| {
        if let Ok(frame) = codec.decode_client(message) {
            client_survives(&frame);
        }
        if let Ok(frame) = codec.decode_server(message) {
            server_survives(&frame);
        }
    }));
    if let Err(panic) = looked_at {
        println!("{codec:?}: {:?}", message.escape_ascii().to_string());
        resume_unwind(panic);
    }
}

fn client_survives(frame: &ClientFrame) {
    for codec in Codec::ALL {
        let again = codec.decode_client(&codec.encode_client(frame));
        assert_eq!(again.as_ref(), Ok(frame), "{codec:?}");
    }
}

fn server_survives(frame: &ServerFrame) {
    for codec in Codec::ALL {
        let again = codec.decode_server(&codec.encode_server(frame));
        assert_eq!(again.as_ref(), Ok(frame), "{codec:?}");
    }
}

fn spoil(message: &mut Vec<u8>, codec: Codec, rng: &mut StdRng) {
    let at = rng.random_range(0..=message.len());
    let to = rng.random_range(at..=message.len().min(at + 16));
    match rng.random_range(0..7) {
        0 => {
            if let Some(byte) = message.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = message.get_mut(at) {
                *byte = rng.random();
            }
        }
        2 => message.insert(at, rng.random()),
        3 => message.truncate(at),
        4 => {
            message.drain(at..to);
        }
        5 => {
            let copy = message[at..to].to_vec();
            message.splice(at..at, copy);
        }
        _ => {
            let pieces = match codec {
                Codec::Json => JSON_PIECES,
                Codec::MsgPack => MSGPACK_PIECES,
            };
            let piece = pieces.choose(rng).unwrap();
            message.splice(at..to, piece.iter().copied());
        }
    }
}

/// The pieces of JSON that random bytes would hardly ever hit upon.
const JSON_PIECES: &[&[u8]] = &[
    b"1e999",
    b"-0.0",
    b"-1",
    b"18446744073709551616",
    b"\\ud800",
    b"\\u0000",
    b"\"\"",
    b"null",
    b"\"data\":",
    b"\"t\":\"act\",",
    b"{\"$serde_json::private::RawValue\":\"[1]\"}",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"[",
    b"}",
    b",",
];
const MSGPACK_PIECES: &[&[u8]] = &[
    b"\xc0",
    b"\xc1",
    b"\xc4\x01a",
    b"\xc7\x01\x05a",
    b"\xca\x7f\xc0\x00\x00",
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xdb\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xa4data",
    b"\xa1t\xa3act",
    b"\x81\xbe$serde_json::private::RawValue\xa3[1]",
    b"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91",
];

/// Draws frames by the same seed.
fn runner(rng: &mut StdRng) -> TestRunner {
    let seed: [u8; 32] = rng.random();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(Config::default(), rng)
}
