use std::time::Duration;

use outlast_protocol::Codec;

use crate::Backoff;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gateways listen, as `host:port`. A client that lost one tries the next.
    pub gateways: Vec<String>,
    /// Which of the gateways comes first.
    pub first_gateway: usize,
    /// How frames are written.
    pub codec: Codec,
    /// Who the client is, as a JWT.
    pub token: Option<String>,
    /// How long it waits before it tries again.
    pub backoff: Backoff,
    /// How long an attempt may take from its connection to `welcome` or `resumed`.
    pub attach_timeout: Duration,
    /// What the backoff's jitter is drawn from: equal seeds wait equally long.
    pub seed: u64,
}

impl Settings {
    /// A client of these gateways, with the waits of SPEC rule D2.
    pub fn new(gateways: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Settings {
            gateways: gateways.into_iter().map(Into::into).collect(),
            first_gateway: 0,
            codec: Codec::Json,
            token: None,
            backoff: Backoff::default(),
            attach_timeout: Duration::from_secs(12),
            seed: 0,
        }
    }
}
