use std::{thread, time::Duration};

use anyhow::{Context, ensure};
use redis::{
    AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value, aio::MultiplexedConnection,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::timeout,
};

use super::{append, client, commit, read, requests, url};
use crate::process::{Process, until_orphaned};

const TOPIC: &str = "bench:topic";
const NEWS: &str = "bench:news";
const LOG: &str = "bench:log";
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The chain in tasks: each connection has its own, as redis-rs gives it, and all share a thread.
pub(crate) struct Chain {
    runtime: Runtime,
    asking: MultiplexedConnection,
    heard: mpsc::Receiver<Vec<u8>>,
    _hearing: MultiplexedConnection,
    _worker: Process,
}

impl Chain {
    pub(crate) const PART: &str = "chain";

    pub(crate) fn start(redis: &str) -> anyhow::Result<Self> {
        let (worker, _) = Process::start_part(Self::PART, &[redis])?;
        let runtime = runtime()?;
        let (say, heard) = mpsc::channel(16);
        let (asking, hearing) = runtime.block_on(async {
            let hear = move |PushInfo { kind, mut data }| -> Result<(), ()> {
                match (kind, data.pop()) {
                    (PushKind::Message, Some(Value::BulkString(said))) => {
                        say.try_send(said).or(Err(()))
                    }
                    _ => Ok(()),
                }
            };
            let config = AsyncConnectionConfig::new().set_push_sender(hear);
            let mut hearing = connect(redis, config).await?;
            hearing.subscribe(NEWS).await?;
            let asking = connect(redis, AsyncConnectionConfig::new()).await?;
            anyhow::Ok((asking, hearing))
        })?;
        Ok(Chain {
            runtime,
            asking,
            heard,
            _hearing: hearing,
            _worker: worker,
        })
    }

    /// In, and out again.
    pub(crate) fn trip(&mut self, text: &str) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let _: String = append(TOPIC, text).query_async(&mut self.asking).await?;
            let said = timeout(ANSWER_WITHIN, self.heard.recv())
                .await
                .context("no answer")?;
            ensure!(
                said.is_some_and(|said| said == text.as_bytes()),
                "the chain says something else"
            );
            Ok(())
        })
    }

    /// The main function of the process that waits.
    pub(crate) fn serve() -> anyhow::Result<()> {
        thread::spawn(|| {
            until_orphaned();
            std::process::exit(0);
        });
        runtime()?.block_on(async {
            let url = url()?;
            let mut reading = connect(&url, AsyncConnectionConfig::new()).await?;
            let mut writing = connect(&url, AsyncConnectionConfig::new()).await?;
            let commit = commit();
            commit.load_async(&mut writing).await?;
            println!("ready");
            let mut after = "0".to_owned();
            loop {
                for request in requests(read(TOPIC, &after).query_async(&mut reading).await?) {
                    let (id, input) = request?;
                    let mut run = commit.key(LOG);
                    let _: u64 = run.arg(NEWS).arg(input).invoke_async(&mut writing).await?;
                    after = id;
                }
            }
        })
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn connect(
    url: &str,
    config: AsyncConnectionConfig,
) -> anyhow::Result<MultiplexedConnection> {
    let config = config.set_response_timeout(Some(ANSWER_WITHIN));
    let client = client(url, ProtocolVersion::RESP3)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}
