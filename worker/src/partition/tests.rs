// What is not expected here is a failure, whatever it is.
#![allow(clippy::wildcard_enum_match_arm)]

mod actions;
mod audits;
mod bench;
mod crashes;
mod exchange;
mod faults;
mod lab;
mod log;
mod outside;
mod poison;
mod resent;
mod sessions;
mod speech;
mod timers;
