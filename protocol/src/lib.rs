//! Protocol 1 of outlast: what a client and a gateway say to each other.
//!
//! This crate promises that what it encodes decodes to the same, in JSON and in MessagePack, and that
//! no input makes it panic, recurse without bound or allocate more than the input's own size allows.
//! It never does IO, never reads a clock, and knows nothing of stores or rooms' contents.
//!
//! Rule IDs in the docs (`H1`, `R3` …) are those of SPEC.md.

mod client;
mod close;
mod codec;
mod depth;
mod payload;
mod pos;
mod room;
mod server;
mod value;
mod wire;

pub use client::ClientFrame;
pub use close::CloseCode;
pub use codec::{Codec, DecodeError};
pub use payload::{NotJson, Payload, given};
pub use pos::{BadPos, Pos};
pub use room::{BadRoomName, RoomName};
pub use server::{CatchUp, Limits, ServerFrame, SnapshotReason, Welcome};

/// A session's name: a UUIDv7 (S1).
pub type Sid = uuid::Uuid;

/// The number a room gives a session when it joins; the only name of it that others see.
pub type Member = u32;

/// The largest number that JSON, MessagePack and JavaScript carry alike: 2⁵³ − 1.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// The depth to which a frame may nest (F2). The frame itself is the first level.
pub const DEPTH_MAX: usize = 64;

/// The number of rooms that one session may be in (A5), and so that a `resume` may list.
pub const ROOMS_MAX: usize = 128;
