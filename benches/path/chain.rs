//! A baseline: the same way through Redis with nothing around it. A request is appended to a stream,
//! another process waits for it there and runs a script that appends it to a log and publishes it, and
//! that is what the first one waits for. Every call blocks, so no runtime is in the way.

use std::thread;

use anyhow::{Context, bail};
use redis::{Client, Connection, Script, streams::StreamReadReply};

use crate::process::{Process, until_orphaned};

pub(crate) const PART: &str = "chain";

/// How much either stream keeps.
const KEPT: usize = 1_000;
const TOPIC: &str = "bench:topic";
const LOG: &str = "bench:log";
const NEWS: &str = "bench:news";

/// Where requests go in and come out.
pub(crate) struct Chain {
    asking: Connection,
    hearing: Connection,
    _worker: Process,
}

impl Chain {
    pub(crate) fn start(redis: &str) -> anyhow::Result<Self> {
        let (worker, _) = Process::start_part(PART, &[redis])?;
        let mut hearing = connect(redis)?;
        redis::cmd("SUBSCRIBE").arg(NEWS).exec(&mut hearing)?;
        Ok(Chain {
            asking: connect(redis)?,
            hearing,
            _worker: worker,
        })
    }

    /// In, and out again.
    pub(crate) fn trip(&mut self, text: &str) -> anyhow::Result<()> {
        append(&mut self.asking, text)?;
        loop {
            let push: (String, String, String) =
                redis::from_redis_value(self.hearing.recv_response()?)?;
            match push {
                (kind, _, heard) if kind == "message" && heard == text => return Ok(()),
                other => bail!("{other:?} where {text} was expected"),
            }
        }
    }
}

/// What the process does.
pub(crate) fn serve() -> anyhow::Result<()> {
    thread::spawn(|| {
        until_orphaned();
        std::process::exit(0);
    });
    let url = std::env::args()
        .nth(1)
        .context("the URL of Redis is missing")?;
    let mut redis = connect(&url)?;
    let commit = Script::new(&format!(
        "redis.call('XADD', KEYS[1], 'MAXLEN', '~', {KEPT}, '*', 'entry', ARGV[1])
         return redis.call('PUBLISH', ARGV[2], ARGV[1])"
    ));
    commit.load(&mut redis)?;
    println!("ready");
    let mut after = "0".to_owned();
    loop {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT")
            .arg(512)
            .arg("BLOCK")
            .arg(250)
            .arg("STREAMS")
            .arg(TOPIC)
            .arg(&after);
        let read: Option<StreamReadReply> = read.query(&mut redis)?;
        for entry in read
            .into_iter()
            .flat_map(|read| read.keys)
            .flat_map(|stream| stream.ids)
        {
            let input: String = entry.get("input").context("an entry without input")?;
            let _: u64 = commit.key(LOG).arg(input).arg(NEWS).invoke(&mut redis)?;
            after = entry.id;
        }
    }
}

fn append(redis: &mut Connection, text: &str) -> anyhow::Result<()> {
    let mut add = redis::cmd("XADD");
    add.arg(TOPIC)
        .arg("MAXLEN")
        .arg("~")
        .arg(KEPT)
        .arg("*")
        .arg("input")
        .arg(text);
    let _: String = add.query(redis)?;
    Ok(())
}

fn connect(url: &str) -> anyhow::Result<Connection> {
    use redis::{IntoConnectionInfo, io::tcp::TcpSettings};
    let info = url.into_connection_info()?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let connection = Client::open(info)?.get_connection()?;
    connection.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    Ok(connection)
}
