use std::{thread, time::Duration};

use anyhow::ensure;
use redis::{Connection, ProtocolVersion};

use super::{append, client, commit, read, requests, url};
use crate::process::{Process, until_orphaned};

const TOPIC: &str = "bench:floor:topic";
const NEWS: &str = "bench:floor:news";
const LOG: &str = "bench:floor:log";

/// The chain in blocking calls.
pub(crate) struct Floor {
    asking: Connection,
    hearing: Connection,
    _worker: Process,
}

impl Floor {
    pub(crate) const PART: &str = "floor";

    pub(crate) fn start(redis: &str) -> anyhow::Result<Self> {
        let (worker, _) = Process::start_part(Self::PART, &[redis])?;
        let mut hearing = connect(redis)?;
        redis::cmd("SUBSCRIBE").arg(NEWS).exec(&mut hearing)?;
        Ok(Floor {
            asking: connect(redis)?,
            hearing,
            _worker: worker,
        })
    }

    /// In, and out again.
    pub(crate) fn trip(&mut self, text: &str) -> anyhow::Result<()> {
        let _: String = append(TOPIC, text).query(&mut self.asking)?;
        let push: (String, String, String) =
            redis::from_redis_value(self.hearing.recv_response()?)?;
        ensure!(
            push.0 == "message" && push.2 == text,
            "{push:?}, where {text} was expected"
        );
        Ok(())
    }

    /// The main function of the process that waits.
    pub(crate) fn serve() -> anyhow::Result<()> {
        thread::spawn(|| {
            until_orphaned();
            std::process::exit(0);
        });
        let mut redis = connect(&url()?)?;
        let commit = commit();
        commit.load(&mut redis)?;
        println!("ready");
        let mut after = "0".to_owned();
        loop {
            for request in requests(read(TOPIC, &after).query(&mut redis)?) {
                let (id, input) = request?;
                let _: u64 = commit.key(LOG).arg(NEWS).arg(input).invoke(&mut redis)?;
                after = id;
            }
        }
    }
}

fn connect(url: &str) -> anyhow::Result<Connection> {
    let connection = client(url, ProtocolVersion::RESP2)?.get_connection()?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(connection)
}
