//! The making of connections to Redis.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream::FuturesUnordered};
use rand::RngExt;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisFuture, Value,
    aio::MultiplexedConnection,
    io::{AsyncDNSResolver, tcp::TcpSettings},
};
use tokio::{sync::Notify, time::timeout};

use super::{
    access::Access,
    resolver::{ResolvedAddress, Resolver},
    url::{Address, StoreUrl},
};
use crate::StoreError;
use crate::redis::error::is_refusal;

/// The number of commands that may wait to be written to one connection before their senders wait.
const COMMANDS_MAX: usize = 1024;

/// Makes connections.
#[derive(Debug)]
pub(in crate::redis) struct Dialer {
    /// Its address stands for all others: they are dialed in the same way.
    like: ConnectionInfo,
    whom: Target,
    connect_timeout: Duration,
    names: Option<Resolver>,
}

/// Whom a dialer connects to.
#[derive(Debug, Clone, Copy)]
enum Target {
    Servers,
    Sentinels,
}

/// A connection, and the news of its end.
#[derive(Debug)]
pub(in crate::redis) struct Wire {
    pub(in crate::redis) connection: MultiplexedConnection,
    /// Where it leads.
    pub(in crate::redis) at: ResolvedAddress,
    lost: Arc<Notify>,
    /// The number of channels that we have asked to hear no more, and are still to be let off from. Redis takes
    /// others away by itself: those whose slot it no longer has.
    leaving: Arc<AtomicUsize>,
}

impl Dialer {
    /// A way to connect to the servers that hold the store.
    pub(in crate::redis) fn to_servers(
        url: &StoreUrl,
        access: &Access,
        names: Option<Resolver>,
        connect_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let login = Login {
            user: access.user.as_ref().or(url.user.as_ref()),
            password: access.password.as_ref().or(url.password.as_ref()),
            database: url.database,
        };
        let dialer = Dialer::new(Target::Servers, url.tls, &login, access, connect_timeout)?;
        Ok(Dialer { names, ..dialer })
    }

    /// A way to connect to the sentinels that watch them.
    pub(in crate::redis) fn to_sentinels(
        url: &StoreUrl,
        access: &Access,
        names: Option<Resolver>,
        connect_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let login = Login {
            user: access.sentinel_user.as_ref(),
            password: access.sentinel_password.as_ref(),
            database: 0,
        };
        let dialer = Dialer::new(Target::Sentinels, url.tls, &login, access, connect_timeout)?;
        Ok(Dialer { names, ..dialer })
    }

    fn new(
        whom: Target,
        tls: bool,
        login: &Login<'_>,
        access: &Access,
        connect_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let mut who = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(login.database);
        if let Some(user) = login.user {
            who = who.set_username(user);
        }
        if let Some(password) = login.password {
            who = who.set_password(password);
        }
        let (host, port) = (String::from("localhost"), 0);
        let address = match tls {
            true => tls_like(access)?,
            false => ConnectionAddr::Tcp(host, port),
        };
        let like = address
            .into_connection_info()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(who);
        Ok(Dialer {
            like,
            whom,
            connect_timeout,
            names: None,
        })
    }

    /// Connects for commands that are answered within `answer_timeout`; for ever, if that is `None`. Of several
    /// machines behind the name, the first that answers will do.
    pub(in crate::redis) async fn dial(
        &self,
        address: &Address,
        answer_timeout: Option<Duration>,
    ) -> Result<Wire, DialError> {
        let mut dialed = self.dial_all(address, answer_timeout).await?;
        let mut why = DialErrors::default();
        while let Some(dialed) = dialed.next().await {
            match dialed {
                Ok(wire) => return Ok(wire),
                Err(error) => why.add(error),
            }
        }
        Err(why.into_one(address))
    }

    /// Connects to every machine behind the name, as it is known now: in the order in which they answer.
    pub(in crate::redis) async fn dial_all<'a>(
        &'a self,
        address: &Address,
        answer_timeout: Option<Duration>,
    ) -> Result<impl Stream<Item = Result<Wire, DialError>> + Unpin + use<'a>, DialError> {
        let found = timeout(
            self.connect_timeout,
            ResolvedAddress::all(address, self.names.as_ref()),
        )
        .await;
        let away = |why: &str| {
            let message = format!("Redis at {address} cannot be reached: {why}");
            DialError::Away(StoreError::Unavailable(message))
        };
        let spots = found
            .map_err(|_| away("its name is not resolved in time"))?
            .map_err(|error| away(&error.to_string()))?;
        let dials = spots
            .into_iter()
            .map(|spot| Box::pin(async move { self.dial_at(&spot, answer_timeout).await }));
        Ok(dials.collect::<FuturesUnordered<_>>())
    }

    /// Connects to one machine.
    pub(in crate::redis) async fn dial_at(
        &self,
        spot: &ResolvedAddress,
        answer_timeout: Option<Duration>,
    ) -> Result<Wire, DialError> {
        self.dial_to_hear(spot, answer_timeout, |_, _| ()).await
    }

    /// The same, for a connection that will also subscribe: `hear` is given channel and message. It
    /// runs where the connection is read, so it must not wait.
    pub(in crate::redis) async fn dial_to_hear(
        &self,
        spot: &ResolvedAddress,
        answer_timeout: Option<Duration>,
        hear: impl Fn(Vec<u8>, Vec<u8>) + Send + Sync + 'static,
    ) -> Result<Wire, DialError> {
        let lost = Arc::new(Notify::new());
        let leaving = Arc::new(AtomicUsize::new(0));
        let (bell, asked) = (lost.clone(), leaving.clone());
        let pushed = move |PushInfo { kind, data }| -> Result<(), ()> {
            if kind == PushKind::Disconnection {
                bell.notify_one();
            } else if kind == PushKind::SUnsubscribe {
                let one_less = |left: usize| left.checked_sub(1);
                let order = Ordering::SeqCst;
                if asked.fetch_update(order, order, one_less).is_err() {
                    bell.notify_one();
                }
            } else if matches!(kind, PushKind::Message | PushKind::SMessage)
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
            .set_dns_resolver(Only(spot.ip))
            .set_push_sender(pushed);
        let connected = async {
            Client::open(self.like_this(&spot.address))?
                .get_multiplexed_async_connection_with_config(&config)
                .await
        };
        let connection = connected
            .await
            .map_err(|error| explain(self.whom, spot, &error))?;
        Ok(Wire {
            connection,
            at: spot.clone(),
            lost,
            leaving,
        })
    }

    /// Returns the way to connect to an address.
    fn like_this(&self, Address { host, port }: &Address) -> ConnectionInfo {
        let mut like = self.like.addr().clone();
        if let ConnectionAddr::Tcp(like_host, like_port)
        | ConnectionAddr::TcpTls {
            host: like_host,
            port: like_port,
            ..
        } = &mut like
        {
            (*like_host, *like_port) = (host.clone(), *port);
        }
        self.like.clone().set_addr(like)
    }
}

/// The one address that is dialed, whatever the name is that TLS looks for.
struct Only(IpAddr);

impl AsyncDNSResolver for Only {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let only: Box<dyn Iterator<Item = _> + Send> =
            Box::new(std::iter::once(SocketAddr::new(self.0, port)));
        Box::pin(async { Ok(only) })
    }
}

/// The name and password that we give.
struct Login<'a> {
    user: Option<&'a String>,
    password: Option<&'a String>,
    database: i64,
}

/// An address behind TLS, with what all of them share.
fn tls_like(access: &Access) -> Result<ConnectionAddr, StoreError> {
    // It fails where it has been done already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = ConnectionAddr::TcpTls {
        host: "localhost".into(),
        port: 0,
        insecure: false,
        tls_params: None,
    };
    let Some(certificates) = access.certificates() else {
        return Ok(address);
    };
    let client = Client::build_with_tls(address, certificates);
    let client = client.map_err(|error| {
        StoreError::Unavailable(format!(
            "the store's certificates cannot be used: {error}; they are PEM files"
        ))
    })?;
    Ok(client.get_connection_info().addr().clone())
}

/// Returns the error for a connection that failed, with its remedy.
fn explain(whom: Target, address: &ResolvedAddress, error: &RedisError) -> DialError {
    let told = error.to_string();
    if is_refusal(error) {
        let (who, remedy) = match whom {
            Target::Servers => (
                "Redis",
                "--store-user and --store-password-file, or in the store's URL",
            ),
            Target::Sentinels => (
                "the sentinel",
                "--store-sentinel-user and --store-sentinel-password-file",
            ),
        };
        return DialError::Refused(StoreError::Unavailable(format!(
            "{who} at {address} refuses the user or the password: {told}; give the right ones with {remedy}"
        )));
    }
    // TLS tells why by its words alone.
    const OTHER_AUTHORITY: &str = "give the authority of its certificate with --store-ca-file";
    let remedy = [
        ("UnknownIssuer", OTHER_AUTHORITY),
        ("BadSignature", OTHER_AUTHORITY),
        (
            "not valid for name",
            "its certificate is for another name: use the name that it is for",
        ),
        ("invalid peer certificate", "have its certificate renewed"),
        (
            "CertificateRequired",
            "give --store-cert-file and --store-key-file",
        ),
        (
            "UnknownCA",
            "it does not know the authority of --store-cert-file",
        ),
        (
            "CertificateUnknown",
            "it does not take what --store-cert-file holds",
        ),
    ];
    if let Some((_, remedy)) = remedy.iter().find(|(word, _)| told.contains(word)) {
        return DialError::Refused(StoreError::Unavailable(format!(
            "Redis at {address} cannot be trusted or does not trust us: {told}; {remedy}"
        )));
    }
    let why = match error.is_timeout() {
        true => "no answer in time".into(),
        false => told,
    };
    DialError::Away(StoreError::Unavailable(format!(
        "Redis at {address} cannot be reached: {why}"
    )))
}

impl Wire {
    /// Waits until the connection is closed, or no longer hears what it should.
    pub(in crate::redis) async fn closed(&self) {
        self.lost.notified().await;
    }

    /// Says that so many sharded channels are about to be left.
    pub(in crate::redis) fn leaves(&self, channels: usize) {
        self.leaving.fetch_add(channels, Ordering::SeqCst);
    }
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(in crate::redis) enum DialError {
    /// Nobody answers: it may come back.
    Away(StoreError),
    /// Somebody answers and does not want us: somebody has to look at it.
    Refused(StoreError),
}

impl DialError {
    pub(in crate::redis) fn into_inner(self) -> StoreError {
        match self {
            DialError::Away(error) | DialError::Refused(error) => error,
        }
    }
}

/// Why none of several machines is connected to.
#[derive(Debug, Default)]
pub(in crate::redis) struct DialErrors(Option<DialError>);

impl DialErrors {
    /// One that may come back says more than one that never will.
    pub(in crate::redis) fn add(&mut self, error: DialError) {
        match (&self.0, &error) {
            (Some(DialError::Away(_)), _) => {}
            (Some(DialError::Refused(_)), DialError::Refused(_)) => {}
            (None | Some(DialError::Refused(_)), _) => self.0 = Some(error),
        }
    }

    pub(in crate::redis) fn into_one(self, address: &Address) -> DialError {
        let nowhere = || format!("Redis at {address} cannot be reached: its name has no address");
        self.0
            .unwrap_or_else(|| DialError::Away(StoreError::Unavailable(nowhere())))
    }
}

/// Returns the wait before the next attempt: random, so that processes do not come in step, and never
/// more than 300 ms, since a store that is back should be used at once.
pub(in crate::redis) fn backoff(attempt: u32) -> Duration {
    let cap_ms = 300_u64.min(20_u64 << attempt.min(8));
    Duration::from_millis(rand::rng().random_range(0..=cap_ms))
}
