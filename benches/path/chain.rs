//! A baseline: the same way through Redis with nothing around it. A request is appended to a stream,
//! another process waits for it there and runs a script that appends it to a log and publishes it, and
//! that is what the first one waits for.
//!
//! There are two of it. [`Chain`] is made of what outlast is made of, the same client library on the
//! same runtime, so that beside it stands what outlast adds. [`Floor`] blocks in every call and has no
//! runtime at all: nothing that speaks to Redis over TCP is faster.

mod blocking;
mod concurrent;

use anyhow::Context;

pub(crate) use self::{blocking::Floor, concurrent::Chain};

/// The number of entries that either stream keeps.
const KEPT: usize = 1_000;
/// For how long a read waits, in milliseconds, as the worker's do.
const WAIT_MS: u64 = 250;

/// The stand-in for a commit: log, news, what is said.
fn commit() -> redis::Script {
    redis::Script::new(&format!(
        "redis.call('XADD', KEYS[1], 'MAXLEN', '~', {KEPT}, '*', 'entry', ARGV[2])
         return redis.call('PUBLISH', ARGV[1], ARGV[2])"
    ))
}

/// Appends a request.
fn append(topic: &str, text: &str) -> redis::Cmd {
    let mut add = redis::cmd("XADD");
    add.arg(topic)
        .arg("MAXLEN")
        .arg("~")
        .arg(KEPT)
        .arg("*")
        .arg("input")
        .arg(text);
    add
}

/// Reads the requests after one, or waits for them.
fn read(topic: &str, after: &str) -> redis::Cmd {
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT").arg(512).arg("BLOCK").arg(WAIT_MS);
    read.arg("STREAMS").arg(topic).arg(after);
    read
}

/// Requests as they were read, each with its id.
fn requests(
    read: Option<redis::streams::StreamReadReply>,
) -> impl Iterator<Item = anyhow::Result<(String, String)>> {
    let entries = read
        .into_iter()
        .flat_map(|read| read.keys)
        .flat_map(|stream| stream.ids);
    entries.map(|entry| {
        let input = entry.get("input").context("an entry without input")?;
        Ok((entry.id, input))
    })
}

/// Over TCP, at once.
fn client(url: &str, protocol: redis::ProtocolVersion) -> anyhow::Result<redis::Client> {
    use redis::{IntoConnectionInfo, io::tcp::TcpSettings};
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(protocol);
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(redis::Client::open(
        info.set_tcp_settings(tcp).set_redis_settings(settings),
    )?)
}

/// The URL that the process which waits was started with.
fn url() -> anyhow::Result<String> {
    std::env::args()
        .nth(1)
        .context("the URL of Redis is missing")
}
