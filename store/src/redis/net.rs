//! Connections to the Redis servers that hold a store.

pub(super) mod access;
pub(super) mod batcher;
pub(super) mod cluster;
pub(super) mod dialer;
pub(super) mod endpoint;
pub(super) mod link;
pub(super) mod nodes;
pub(super) mod patience;
pub(super) mod readers;
pub(super) mod resolver;
pub(super) mod script;
pub(super) mod sentinels;
pub(super) mod slot_map;
pub(super) mod slots;
pub(super) mod url;
