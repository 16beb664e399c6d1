//! The command line (SPEC section 11): every flag has an environment variable and a key in the
//! configuration file.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// A WebSocket realtime gateway whose sessions outlive their sockets.
#[derive(Debug, Parser)]
#[command(
    name = "outlast",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The role of this process.
    #[arg(value_enum, default_value = "all")]
    pub(crate) role: RoleName,

    /// A TOML file with any of these settings: `session_ttl_ms = 120000`. Flags and environment
    /// variables are nearer and win.
    #[arg(long, env = "OUTLAST_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// The commands besides serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Asks a process here whether it is ready: exit code 0 when it is. For health checks in an image
    /// without a shell.
    Probe {
        /// The URL to ask; any answer but 200 is a failure [default: http://ADMIN_LISTEN/readyz]
        #[arg(value_name = "URL")]
        url: Option<String>,

        /// Where its admin listener is [default: 127.0.0.1:9464]
        #[arg(long, env = "OUTLAST_ADMIN_LISTEN", value_name = "ADDRESS")]
        admin_listen: Option<SocketAddr>,
    },
}

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Everything in one process.
    All,
    /// Terminates sockets.
    Gateway,
    /// Runs rooms.
    Worker,
    /// Expires sessions and notices dead gateways.
    Sessions,
}

impl RoleName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            RoleName::All => "all",
            RoleName::Gateway => "gateway",
            RoleName::Worker => "worker",
            RoleName::Sessions => "sessions",
        }
    }

    /// True if browsers connect to it.
    pub(crate) fn has_gateway(self) -> bool {
        matches!(self, RoleName::All | RoleName::Gateway)
    }

    /// True if rooms run in it.
    pub(crate) fn has_worker(self) -> bool {
        matches!(self, RoleName::All | RoleName::Worker)
    }

    /// True if it keeps sessions.
    pub(crate) fn has_keeper(self) -> bool {
        matches!(self, RoleName::All | RoleName::Sessions)
    }
}

/// Every setting, as far as one source gives it.
#[derive(Debug, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Flags {
    /// Where everything shared lies: embedded:PATH, memory:, redis://HOST:PORT,
    /// redis-sentinel://A,B,C/NAME or redis-cluster://A,B,C; rediss in place of redis for TLS. Required
    /// for any role but `all`, whose default is embedded:./outlast-data.
    #[arg(long, env = "OUTLAST_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,

    /// The prefix of every key and channel in Redis, so that two deployments may share one [default: ol]
    #[arg(long, env = "OUTLAST_STORE_PREFIX", value_name = "PREFIX")]
    pub(crate) store_prefix: Option<String>,

    /// The ACL user at Redis [default: the URL's, or `default`]
    #[arg(long, env = "OUTLAST_STORE_USER", value_name = "NAME")]
    pub(crate) store_user: Option<String>,

    /// A file with the password at Redis
    #[arg(long, env = "OUTLAST_STORE_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) store_password_file: Option<PathBuf>,

    /// The ACL user at the sentinels, which have users of their own
    #[arg(long, env = "OUTLAST_STORE_SENTINEL_USER", value_name = "NAME")]
    pub(crate) store_sentinel_user: Option<String>,

    /// A file with the password at the sentinels
    #[arg(
        long,
        env = "OUTLAST_STORE_SENTINEL_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub(crate) store_sentinel_password_file: Option<PathBuf>,

    /// A PEM file with the authorities that vouch for Redis's certificate [default: the public ones]
    #[arg(long, env = "OUTLAST_STORE_CA_FILE", value_name = "FILE")]
    pub(crate) store_ca_file: Option<PathBuf>,

    /// A PEM file with the client certificate that Redis asks for
    #[arg(long, env = "OUTLAST_STORE_CERT_FILE", value_name = "FILE")]
    pub(crate) store_cert_file: Option<PathBuf>,

    /// A PEM file with the private key of that certificate
    #[arg(long, env = "OUTLAST_STORE_KEY_FILE", value_name = "FILE")]
    pub(crate) store_key_file: Option<PathBuf>,

    /// The wait for a Redis that cannot be reached at the start, not ready meanwhile; with 0 the
    /// process ends within 5 s and says why [default: 0]
    #[arg(long, env = "OUTLAST_STORE_WAIT_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(..=86_400_000))]
    pub(crate) store_wait_ms: Option<u64>,

    /// Partitions of the rooms; fixed when the store is created [default: 16]
    #[arg(long, env = "OUTLAST_PARTITIONS", value_name = "P",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) partitions: Option<u16>,

    /// Shards of the sessions, a power of two; fixed when the store is created [default: 4]
    #[arg(long, env = "OUTLAST_SHARDS", value_name = "S",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) shards: Option<u16>,

    /// Where browsers connect; port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, env = "OUTLAST_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,

    /// A folder with pages of your own, which come before the demo pages; /outlast.js is always there
    #[arg(long, env = "OUTLAST_PAGES", value_name = "FOLDER")]
    pub(crate) pages: Option<PathBuf>,

    /// Where /healthz, /readyz and /metrics are, or `off` [default: 127.0.0.1:9464, another port when
    /// that is taken]
    #[arg(long, env = "OUTLAST_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,

    /// The time that sockets have to move to another gateway when this one is told to go; an embedded store has
    /// no other, and its sockets are closed at once [default: 30000]
    #[arg(long, env = "OUTLAST_DRAIN_MS", value_name = "MS")]
    pub(crate) drain_ms: Option<u64>,

    /// The time for which a session outlives its socket [default: 120000]
    #[arg(long, env = "OUTLAST_SESSION_TTL_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) session_ttl_ms: Option<u64>,

    /// The time that a session may be without a socket before its rooms are told [default: 5000]
    #[arg(long, env = "OUTLAST_DETACH_GRACE_MS", value_name = "MS")]
    pub(crate) detach_grace_ms: Option<u64>,

    /// Sessions that one user may have [default: 16]
    #[arg(long, env = "OUTLAST_SESSIONS_PER_USER", value_name = "N")]
    pub(crate) sessions_per_user: Option<usize>,

    /// Sockets that one address may have [default: no bound]
    #[arg(long, env = "OUTLAST_SOCKETS_PER_ADDRESS", value_name = "N")]
    pub(crate) sockets_per_address: Option<usize>,

    /// Sockets that are given a session a second; the others wait for their turn, or are told when to
    /// come back [default: 4000 for each core]
    #[arg(long, env = "OUTLAST_ATTACH_RATE", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attach_rate: Option<u32>,

    /// The longest silence of the server [default: 25000]
    #[arg(long, env = "OUTLAST_HEARTBEAT_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) heartbeat_ms: Option<u64>,

    /// The largest frame that a client may send [default: 65536]
    #[arg(long, env = "OUTLAST_FRAME_BYTES", value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1024..=16 * 1024 * 1024))]
    pub(crate) frame_bytes: Option<u32>,

    /// Actions a second that one session may send, with bursts of twice that [default: 50]
    #[arg(long, env = "OUTLAST_ACTIONS_PER_S", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) actions_per_s: Option<u32>,

    /// The time for which a lease outlives its holder [default: 2000]
    #[arg(long, env = "OUTLAST_LEASE_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) lease_ms: Option<u64>,

    /// The interval at which sessions, their sockets and the members of rooms are compared: what one of
    /// them has lost is mended the second time it is found [default: 30000]
    #[arg(long, env = "OUTLAST_AUDIT_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) audit_ms: Option<u64>,

    /// The time that one call into a room's code may take before its partition is given up [default: 2000]
    #[arg(long, env = "OUTLAST_ROOM_STEP_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(20..))]
    pub(crate) room_step_ms: Option<u64>,

    /// Newest entries that a room's log keeps [default: 1000]
    #[arg(long, env = "OUTLAST_LOG_ENTRIES", value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) log_entries: Option<u64>,

    /// The longest time for which a room's log keeps an entry [default: 600000]
    #[arg(long, env = "OUTLAST_LOG_AGE_MS", value_name = "MS")]
    pub(crate) log_age_ms: Option<u64>,

    /// The time for which a room without members stays in the store [default: 86400000]
    #[arg(long, env = "OUTLAST_ROOM_TTL_MS", value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) room_ttl_ms: Option<u64>,

    /// Origins, besides the server's own, whose pages may connect: https://example.org
    #[arg(
        long,
        env = "OUTLAST_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub(crate) allow_origin: Option<Vec<String>>,

    /// Lets clients in without a token, each as a user of its own
    #[arg(long, env = "OUTLAST_ALLOW_ANONYMOUS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub(crate) allow_anonymous: Option<bool>,

    /// A file with the secret of HS256 tokens; 32 random bytes or more are safe
    #[arg(long, env = "OUTLAST_TOKEN_SECRET_FILE", value_name = "FILE")]
    pub(crate) token_secret_file: Option<PathBuf>,

    /// A PEM file with the public key of RS256, ES256 or EdDSA tokens
    #[arg(long, env = "OUTLAST_TOKEN_KEY_FILE", value_name = "FILE")]
    pub(crate) token_key_file: Option<PathBuf>,

    /// A JWKS file with the public keys of tokens
    #[arg(long, env = "OUTLAST_TOKEN_JWKS_FILE", value_name = "FILE")]
    pub(crate) token_jwks_file: Option<PathBuf>,

    /// The level, or `tracing` directives, of the log on standard error [default: info]
    #[arg(long, env = "OUTLAST_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,

    /// The format of a line: for people, or as a JSON object [default: text]
    #[arg(long, env = "OUTLAST_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// The collector that traces go to, by OTLP over HTTP: http://127.0.0.1:4318 [default: none]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// An object, for machines.
    Json,
}
