use std::{net::IpAddr, time::Duration};

use outlast_protocol::Codec;

use crate::{Backoff, Trust};

/// The behaviour of a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gateways listen, as `host:port`, or as `wss://host:port` behind TLS. A client that lost one tries
    /// the next.
    pub gateways: Vec<String>,
    /// Whose certificates are believed there.
    pub trust: Trust,
    /// Which of the gateways comes first.
    pub first_gateway: usize,
    /// The encoding of frames.
    pub codec: Codec,
    /// The client's token, a JWT.
    pub token: Option<String>,
    /// The wait before it tries again.
    pub backoff: Backoff,
    /// A `retry_ms` of the server is obeyed. A rude client goes by its backoff alone.
    pub is_polite: bool,
    /// The time that an attempt may take from its connection to `welcome` or `resumed`.
    pub attach_timeout: Duration,
    /// The address that it dials from, where ports run out; any for `None`.
    pub source: Option<IpAddr>,
    /// The bytes that the system keeps for it unread; its default for `None`.
    pub receive_buffer_bytes: Option<u32>,
    /// The seed of the backoff's jitter: equal seeds wait equally long.
    pub seed: u64,
}

impl Settings {
    /// A client of these gateways, with the waits of SPEC rule D2.
    pub fn new(gateways: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Settings {
            gateways: gateways.into_iter().map(Into::into).collect(),
            trust: Trust::default(),
            first_gateway: 0,
            codec: Codec::Json,
            token: None,
            backoff: Backoff::default(),
            is_polite: true,
            attach_timeout: Duration::from_secs(12),
            source: None,
            receive_buffer_bytes: None,
            seed: 0,
        }
    }
}
