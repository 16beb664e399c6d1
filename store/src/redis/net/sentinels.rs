//! Those who know which Redis is the master.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{RedisResult, aio::MultiplexedConnection};

use super::{
    dialer::{DialError, Dialer},
    url::Address,
};
use crate::StoreError;
use crate::redis::error::is_refusal;

/// The sentinels of one master. All are asked, and the one that knows of the newest failover is believed:
/// one that was cut off names a master that was put aside.
#[derive(Debug)]
pub(in crate::redis) struct Sentinels {
    addresses: Vec<Address>,
    name: String,
    dialer: Dialer,
    answer_timeout: Duration,
    /// Connections that are there already.
    lines: Mutex<HashMap<Address, MultiplexedConnection>>,
}

/// A sentinel's answer.
#[derive(Debug)]
enum Word {
    /// Where the master is, and how many failovers it knows of.
    Master { at: Address, epoch: u64 },
    /// It watches no master of that name.
    Unknown,
}

impl Sentinels {
    pub(in crate::redis) fn new(
        addresses: Vec<Address>,
        name: String,
        dialer: Dialer,
        answer_timeout: Duration,
    ) -> Self {
        Sentinels {
            addresses,
            name,
            dialer,
            answer_timeout,
            lines: Mutex::default(),
        }
    }

    pub(in crate::redis) fn name(&self) -> &str {
        &self.name
    }

    /// Where the master is.
    pub(in crate::redis) async fn master(&self) -> Result<Address, DialError> {
        let words = join_all(self.addresses.iter().map(|address| self.ask(address))).await;
        let (mut newest, mut unknown, mut refused, mut why) = (None, false, None, Vec::new());
        for word in words {
            match word {
                Ok(Word::Master { at, epoch }) => newest = newest.max(Some((epoch, at))),
                Ok(Word::Unknown) => unknown = true,
                Err(error @ DialError::Refused(_)) => refused = Some(error),
                Err(DialError::Away(error)) => why.push(error.to_string()),
            }
        }
        let name = &self.name;
        match (newest, refused) {
            // One that does not want us says nothing about what the others know.
            (Some((_, at)), _) => Ok(at),
            (None, _) if unknown => Err(DialError::Refused(StoreError::Unavailable(format!(
                "the sentinels know no master {name:?}: give the name that `sentinel monitor` gave it"
            )))),
            (None, Some(error)) => Err(error),
            (None, None) => Err(DialError::Away(StoreError::Unavailable(format!(
                "no sentinel can be reached: {}",
                why.join("; ")
            )))),
        }
    }

    async fn ask(&self, address: &Address) -> Result<Word, DialError> {
        let before = self.lines.lock().remove(address);
        if let Some(line) = before
            && let Ok(word) = self.ask_on(address, line).await
        {
            return Ok(word);
        }
        let wire = self.dialer.dial(address, Some(self.answer_timeout)).await?;
        let word = self.ask_on(address, wire.connection).await;
        word.map_err(|error| match is_refusal(&error) {
            true => DialError::Refused(StoreError::Unavailable(format!(
                "the sentinel at {address} does not let us ask: {error}; our user there needs \
                 +sentinel|get-master-addr-by-name and +sentinel|master"
            ))),
            false => {
                let message = format!("the sentinel at {address}: {error}");
                DialError::Away(StoreError::Unavailable(message))
            }
        })
    }

    async fn ask_on(
        &self,
        address: &Address,
        mut line: MultiplexedConnection,
    ) -> RedisResult<Word> {
        let about = |question: &str| {
            let mut about = redis::cmd("SENTINEL");
            about.arg(question).arg(&self.name);
            about
        };
        let at: Option<(String, u16)> = about("GET-MASTER-ADDR-BY-NAME")
            .query_async(&mut line)
            .await?;
        let word = match at {
            None => Word::Unknown,
            Some((host, port)) => {
                let state: BTreeMap<String, String> =
                    about("MASTER").query_async(&mut line).await?;
                let epoch = state
                    .get("config-epoch")
                    .and_then(|epoch| epoch.parse().ok());
                Word::Master {
                    at: Address { host, port },
                    epoch: epoch.unwrap_or(0),
                }
            }
        };
        self.lines.lock().insert(address.clone(), line);
        Ok(word)
    }
}
