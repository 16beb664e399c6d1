//! Real Redis deployments: one server, Sentinel, Cluster.

mod cluster;
mod command;
mod sentinels;
mod server;
mod site;
pub mod users;

pub use cluster::{Cluster, MovingSlot};
pub use sentinels::Sentinels;
pub use server::{Launch, RedisServer};
pub use site::{CLOSELY_MS, LOOSELY_MS, Login, Site};
