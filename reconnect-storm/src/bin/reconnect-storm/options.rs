//! The command line.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};

use reconnect_storm::Trust;

/// The number of clients that one process may have.
pub(crate) const CLIENTS_MAX: u32 = 18_000;

/// Disconnects many clients at the same moment and measures how outlast copes when they all reconnect.
///
/// Without --url it starts everything it needs on this machine (redis-server, two gateways, a worker, a
/// session keeper) and stops it at the end. Runs in which clients lose their sockets are compared with a
/// baseline, `bare`, measured before and after: the same number of clients lose their sockets in the same
/// way and reconnect to a WebSocket server that does nothing but upgrade.
///
/// Everything that every client sees is checked. The exit status is 1 if anything was lost, doubled, out of
/// order or reset without a reason.
#[derive(Debug, Clone, Parser)]
#[command(name = "reconnect-storm", version, max_term_width = 100)]
pub(crate) struct Options {
    /// The scenario to run.
    #[arg(value_enum, default_value = "kill")]
    pub(crate) scenario: ScenarioName,

    /// Number of clients [default: 1,000 per core, at most 5,000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=200_000))]
    pub(crate) clients: Option<u32>,

    /// Number of chat rooms [default: one per 50 clients]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rooms: Option<u32>,

    /// Actions per second, of all clients together.
    #[arg(long, default_value_t = 200.0, value_name = "PER_S")]
    pub(crate) rate: f64,

    /// Share of the clients that `cut` disconnects [default: 0.5] or that read slowly in `slow` [default: 0.1]
    #[arg(long)]
    pub(crate) share: Option<f64>,

    /// The time that clients wait before they reconnect.
    #[arg(long, value_enum, default_value = "off")]
    pub(crate) jitter: Jitter,

    /// Seed of everything random: the same seed gives the same waits, actions and victims.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Seconds of normal operation before the storm.
    #[arg(long, default_value = "5", value_name = "S", value_parser = seconds)]
    pub(crate) warmup: Duration,

    /// Minimum number of seconds to watch the storm.
    #[arg(long, default_value = "10", value_name = "S", value_parser = seconds)]
    pub(crate) watch: Duration,

    /// Seconds that a client may take to come back.
    #[arg(long, default_value = "120", value_name = "S", value_parser = seconds)]
    pub(crate) patience: Duration,

    /// Number of processes that the clients run in [default: one per 18,000 clients]
    #[arg(long, value_name = "N")]
    pub(crate) processes: Option<usize>,

    /// Tests a running deployment: wss://HOST or ws://HOST:PORT of a load balancer or a gateway. May be
    /// repeated; clients take the URLs in turn.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,

    /// With --url: an additional certificate authority for wss://, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The token of every client. All sessions count against its user: see --sessions-per-user of outlast.
    #[arg(long, env = "RECONNECT_STORM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// With --url: the shell command that causes the storm, such as 'kubectl rollout restart deployment/outlast-gateway'
    #[arg(long, value_name = "CMD")]
    pub(crate) storm_command: Option<String>,

    /// The outlast binary [default: the one in the folder of this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) outlast: Option<PathBuf>,

    /// Additional flag for every outlast process, such as --outlast-flag=--attach-rate=2000
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) outlast_flag: Vec<String>,

    /// Milliseconds that a gateway takes to drain in `drain`.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub(crate) drain_ms: u64,

    /// Skips the baseline.
    #[arg(long)]
    pub(crate) no_bare: bool,

    /// Writes all figures and curves to a JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Writes a report as an HTML page, complete in one file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Writes the charts of the first run as an SVG picture.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioName {
    /// Cuts a share of the sockets abruptly.
    Cut,
    /// Kills a gateway with SIGKILL, or runs --storm-command.
    Kill,
    /// Drains a gateway with SIGTERM.
    Drain,
    /// Kills a worker while another stands by.
    Worker,
    /// Kills Redis and starts it again a second later.
    Store,
    /// Measures memory and processor time of idle sessions.
    Idle,
    /// Doubles the rate until latency breaks.
    Fanout,
    /// Has a share of the clients read only 1 KB per second.
    Slow,
    /// Like `kill`, with as many additional clients that ignore retry_ms and retry every 100 ms.
    Rude,
    /// Runs each of these in turn.
    All,
}

impl ScenarioName {
    /// The scenarios to run.
    pub(crate) fn each(self) -> Vec<ScenarioName> {
        if self != ScenarioName::All {
            return vec![self];
        }
        let all = ScenarioName::value_variants().iter().copied();
        all.filter(|name| *name != ScenarioName::All).collect()
    }

    /// Clients lose their sockets, so that a baseline says something.
    pub(crate) fn cuts(self) -> bool {
        matches!(
            self,
            ScenarioName::Cut | ScenarioName::Kill | ScenarioName::Rude
        )
    }

    /// A process is struck: one of this program's own, or one of a deployment by a command.
    pub(crate) fn strikes_processes(self) -> bool {
        matches!(
            self,
            ScenarioName::Kill
                | ScenarioName::Drain
                | ScenarioName::Worker
                | ScenarioName::Store
                | ScenarioName::Rude
        )
    }
}

/// The wait of clients before they try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Jitter {
    /// None: the first attempt at once.
    Off,
    /// Like the SDK: random(0, min(30 s, 500 ms · 2^k)).
    Sdk,
}

/// The name of a value, as it is written on the command line.
pub(crate) fn name_of(value: impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or_else(String::new, |name| name.get_name().to_owned())
}

impl Options {
    /// Refuses options that cannot be met, and names the remedy.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (flag, value, max, unit) in [
            ("--share", self.cut_share(), 1.0, "such as 0.5"),
            ("--rate", self.rate, 1_000_000.0, "actions a second"),
        ] {
            let is_inside = (0.0..=max).contains(&value);
            ensure!(is_inside, "{flag} is 0 to {max}, {unit}");
        }
        ensure!(
            self.processes != Some(0),
            "--processes is 1 or more; 18,000 clients fit into one"
        );
        let per_process = self.sockets().div_ceil(self.processes() as u32);
        ensure!(
            per_process <= CLIENTS_MAX,
            "{per_process} clients in one process are too many; give --processes {}",
            self.sockets().div_ceil(CLIENTS_MAX)
        );
        for url in &self.url {
            address(url)?;
        }
        trust(self.ca_file.as_deref())?;
        for name in self.scenario.each() {
            ensure!(
                self.url.is_empty() || self.storm_command.is_some() || !name.strikes_processes(),
                "behind --url, {} needs a --storm-command that does it to the deployment; `cut` needs none",
                name_of(name)
            );
        }
        Ok(())
    }

    pub(crate) fn clients(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        self.clients.unwrap_or((cores * 1_000).min(5_000))
    }

    /// Clients of every kind.
    fn sockets(&self) -> u32 {
        let has_rude = self.scenario.each().contains(&ScenarioName::Rude);
        self.clients() * (1 + u32::from(has_rude))
    }

    /// The share of the clients that `cut` cuts.
    pub(crate) fn cut_share(&self) -> f64 {
        self.share.unwrap_or(0.5)
    }

    /// The share of the clients that reads slowly in `slow`.
    pub(crate) fn slow_share(&self) -> f64 {
        self.share.unwrap_or(0.1)
    }

    pub(crate) fn rooms(&self) -> u32 {
        let rooms = self.rooms.unwrap_or_else(|| self.clients().div_ceil(50));
        rooms.clamp(self.processes() as u32, self.clients().max(1))
    }

    pub(crate) fn processes(&self) -> usize {
        let needed = self.sockets().div_ceil(CLIENTS_MAX) as usize;
        self.processes.unwrap_or(needed).max(1)
    }
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds: f64 = text.parse()?;
    ensure!((0.0..=86_400.0).contains(&seconds), "0 to 86400 seconds");
    Ok(Duration::from_secs_f64(seconds))
}

/// The authorities that clients trust.
pub(crate) fn trust(ca_file: Option<&Path>) -> anyhow::Result<Trust> {
    ca_file.map_or_else(
        || Ok(Trust::default()),
        |file| Trust::with(file).with_context(|| format!("--ca-file {}", file.display())),
    )
}

/// A gateway's address, as clients dial it: `HOST:PORT`, or `wss://HOST:PORT`.
pub(crate) fn address(url: &str) -> anyhow::Result<String> {
    let (scheme, rest) = url
        .split_once("://")
        .with_context(|| format!("--url {url}: it is wss://HOST or ws://HOST:PORT"))?;
    let (prefix, default_port) = match scheme {
        "ws" | "http" => ("", 80),
        "wss" | "https" => ("wss://", 443),
        _ => bail!("--url {url}: it begins with wss:// or ws://"),
    };
    let host = rest.split('/').next().unwrap_or_default();
    ensure!(!host.is_empty(), "--url {url}: which host?");
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(if has_port {
        format!("{prefix}{host}")
    } else {
        format!("{prefix}{host}:{default_port}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_stands_before_the_path() {
        assert_eq!(
            address("ws://127.0.0.1:8080/v1/connect").unwrap(),
            "127.0.0.1:8080"
        );
        assert_eq!(address("http://example.org").unwrap(), "example.org:80");
        assert_eq!(
            address("wss://example.org/v1/connect").unwrap(),
            "wss://example.org:443"
        );
        assert!(address("tcp://example.org").is_err() && address("example.org").is_err());
        assert!(address("ws:///path").is_err());
    }

    #[test]
    fn a_deployment_needs_a_command_for_what_only_its_operator_can_do() {
        let check = |words: &[&str]| {
            Options::parse_from(words)
                .check()
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(&["", "cut", "--url", "ws://a:1"]), Ok(()));
        assert!(check(&["", "drain", "--url", "ws://a:1"]).is_err());
        assert_eq!(
            check(&["", "kill", "--url", "ws://a:1", "--storm-command", "x"]),
            Ok(())
        );
        let many = check(&["", "--clients", "40000", "--processes", "2"]);
        assert!(many.is_err_and(|error| error.contains("--processes 3")));
    }
}
