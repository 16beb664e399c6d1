//! Sessions and keepers against a real store; each test is named after the rule that it proves.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attaching;
mod audits;
mod away;
mod ending;
mod gateways;
mod keepers;
mod redis;
mod world;
