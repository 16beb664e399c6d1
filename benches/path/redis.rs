use outlast_testkit::{RedisServer, eventually_blocking, redis::Launch};

use crate::process::{Process, remove_at_end};

/// The settings of the Redis of every part.
pub(crate) const OPTIONS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--stream-node-max-bytes",
    "512",
];

/// A redis-server on a free port and in a folder of its own. Stopped when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    launch: Launch,
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let launch = RedisServer::launch()
            .options(OPTIONS)
            .options(&["--maxclients", "10000"]);
        remove_at_end(launch.folder());
        let process = Process::start("redis-server", &mut launch.command())?;
        eventually_blocking("redis-server answers", || match process.check() {
            Ok(()) => launch.is_ready().then_some(Ok(())),
            Err(ended) => Some(Err(ended)),
        })?;
        Ok(Server { process, launch })
    }

    pub(crate) fn url(&self) -> String {
        self.launch.url()
    }
}
