//! How connections to Redis are made.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, Value,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::sync::Notify;

use super::fault::is_refusal;
use crate::BrokerError;

/// How many commands may wait to be written to one connection before their senders wait.
const COMMANDS_MAX: usize = 1024;

/// Makes connections to one Redis.
#[derive(Debug)]
pub(super) struct Dialer {
    client: Client,
    /// Host and port: what may be shown.
    address: String,
    connect_timeout: Duration,
}

/// A connection, and the news of its end.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) connection: MultiplexedConnection,
    lost: Arc<Notify>,
}

impl Dialer {
    pub(super) fn new(url: &str, connect_timeout: Duration) -> Result<Self, BrokerError> {
        // The URL may hold a password, so no error shows it (H3).
        let info = url.into_connection_info().map_err(|error| {
            BrokerError::Unavailable(format!(
                "the store's URL is not of the form redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] ({})",
                error.category()
            ))
        })?;
        let address = info.addr().to_string();
        let resp3 = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let info = info
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(resp3);
        let client = Client::open(info).map_err(|error| {
            BrokerError::Unavailable(format!("Redis at {address} cannot be used: {error}"))
        })?;
        Ok(Dialer {
            client,
            address,
            connect_timeout,
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// Connects for commands that are answered within `answer_timeout`; for ever, if that is `None`.
    pub(super) async fn dial(&self, answer_timeout: Option<Duration>) -> Result<Wire, DialError> {
        self.dial_to_hear(answer_timeout, |_, _| ()).await
    }

    /// The same, for a connection that will also subscribe: `hear` is given channel and message. It
    /// runs where the connection is read, so it must not wait.
    pub(super) async fn dial_to_hear(
        &self,
        answer_timeout: Option<Duration>,
        hear: impl Fn(Vec<u8>, Vec<u8>) + Send + Sync + 'static,
    ) -> Result<Wire, DialError> {
        let lost = Arc::new(Notify::new());
        let bell = lost.clone();
        let pushed = move |PushInfo { kind, data }| -> Result<(), ()> {
            if kind == PushKind::Disconnection {
                bell.notify_one();
            } else if kind == PushKind::Message
                && let Ok([Value::BulkString(channel), Value::BulkString(message)]) =
                    <[Value; 2]>::try_from(data)
            {
                hear(channel, message);
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(answer_timeout)
            .set_pipeline_buffer_size(COMMANDS_MAX)
            .set_push_sender(pushed);
        let connected = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let connection = connected.map_err(|error| self.explain(&error))?;
        Ok(Wire { connection, lost })
    }

    fn explain(&self, error: &redis::RedisError) -> DialError {
        let address = &self.address;
        if is_refusal(error) {
            return DialError::Refused(BrokerError::Unavailable(format!(
                "Redis at {address} refuses the user or the password: {error}; give the right ones in \
                 the store's URL, redis://[USER]:PASSWORD@HOST:PORT"
            )));
        }
        let why = if error.is_timeout() {
            "no answer in time".into()
        } else {
            error.to_string()
        };
        DialError::Away(BrokerError::Unavailable(format!(
            "Redis at {address} cannot be reached: {why}"
        )))
    }
}

impl Wire {
    /// Waits until the connection is closed.
    pub(super) async fn closed(&self) {
        self.lost.notified().await;
    }
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(super) enum DialError {
    /// Nobody answers: it may come back.
    Away(BrokerError),
    /// Somebody answers and does not want us: somebody has to look at it.
    Refused(BrokerError),
}

impl DialError {
    pub(super) fn into_inner(self) -> BrokerError {
        match self {
            DialError::Away(error) | DialError::Refused(error) => error,
        }
    }
}

/// How long to wait before the next attempt: random, so that processes do not come in step, and never
/// more than 300 ms, since a store that is back should be used at once.
pub(super) fn backoff(attempt: u32) -> Duration {
    let cap_ms = 300_u64.min(20_u64 << attempt.min(8));
    Duration::from_millis(rand::rng().random_range(0..=cap_ms))
}
