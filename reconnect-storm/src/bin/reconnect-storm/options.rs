//! The command line.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};

use reconnect_storm::Trust;

use crate::swarm::CLIENTS_MAX;

/// Sends every client back at the same moment, and shows how outlast bears it.
///
/// Without --url it starts what it needs on this machine (redis-server, two gateways, a worker, a
/// keeper), storms it and stops it all. Each run has a baseline of its own, `bare`, measured before and after
/// the storm: as many clients that lose their sockets in the same way, and come back to a WebSocket server that
/// does nothing but upgrade.
///
/// Every client's record is checked. Anything lost, doubled, out of order or reset without a reason makes
/// the exit status 1.
#[derive(Debug, Clone, Parser)]
#[command(name = "reconnect-storm", version, max_term_width = 100)]
pub(crate) struct Options {
    /// What happens.
    #[arg(value_enum, default_value = "kill")]
    pub(crate) scenario: ScenarioName,

    /// How many clients. Without it, what the machine bears: 1,000 a core, at most 5,000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=200_000))]
    pub(crate) clients: Option<u32>,

    /// How many chat rooms they are in [default: one for each 50 clients]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rooms: Option<u32>,

    /// Actions a second, by all clients together.
    #[arg(long, default_value_t = 200.0, value_name = "PER_S")]
    pub(crate) rate: f64,

    /// What share of the clients is hit by `cut` [default: 0.5], or reads slowly in `slow` [default: 0.1]
    #[arg(long)]
    pub(crate) share: Option<f64>,

    /// How clients wait before they try again.
    #[arg(long, value_enum, default_value = "off")]
    pub(crate) jitter: Jitter,

    /// Draws the same waits, actions and victims again.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// How long everything is quiet before the storm, in seconds.
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    pub(crate) warmup: f64,

    /// How long the storm is watched at least, in seconds.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub(crate) watch: f64,

    /// How long anybody may need to come back, in seconds.
    #[arg(long, default_value_t = 120.0, value_name = "S")]
    pub(crate) patience: f64,

    /// Processes that the clients run in [default: one for each 18,000]
    #[arg(long, value_name = "N")]
    pub(crate) processes: Option<usize>,

    /// Where a deployment serves: wss://HOST or ws://HOST:PORT, of a load balancer or of one gateway. May be
    /// repeated; clients take them in turn.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,

    /// With --url: an authority of your own for wss://, in PEM, besides the public ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The token that every client opens with. Its user has all the sessions: see --sessions-per-user.
    #[arg(long, env = "RECONNECT_STORM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// With --url: the storm itself, run by a shell: 'kubectl rollout restart deployment/outlast-gateway'
    #[arg(long, value_name = "CMD")]
    pub(crate) storm_command: Option<String>,

    /// The outlast binary [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) outlast: Option<PathBuf>,

    /// A further flag for every outlast process: --outlast-flag=--attach-rate=2000
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) outlast_flag: Vec<String>,

    /// How long a gateway drains in `drain`, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub(crate) drain_ms: u64,

    /// Leaves the baseline out.
    #[arg(long)]
    pub(crate) no_bare: bool,

    /// Writes every figure and curve to a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Writes a page for people, complete in one file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Writes a picture of the first run.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioName {
    /// A share of the sockets is cut abruptly.
    Cut,
    /// A gateway is killed with SIGKILL, or --storm-command is run.
    Kill,
    /// A gateway is told to go with SIGTERM.
    Drain,
    /// The worker dies while another stands by.
    Worker,
    /// Redis dies, and returns a second later.
    Store,
    /// Nothing: memory and processor time of sessions at rest.
    Idle,
    /// The rate doubles until latency breaks.
    Fanout,
    /// A share of the clients reads 1 KB a second.
    Slow,
    /// As many clients again that ignore every retry_ms, and try again each 100 ms; then `kill`.
    Rude,
    /// Each of these in turn.
    All,
}

impl ScenarioName {
    /// What is to be run.
    pub(crate) fn each(self) -> Vec<ScenarioName> {
        if self != ScenarioName::All {
            return vec![self];
        }
        let all = ScenarioName::value_variants().iter().copied();
        all.filter(|name| *name != ScenarioName::All).collect()
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ScenarioName::Cut => "cut",
            ScenarioName::Kill => "kill",
            ScenarioName::Drain => "drain",
            ScenarioName::Worker => "worker",
            ScenarioName::Store => "store",
            ScenarioName::Idle => "idle",
            ScenarioName::Fanout => "fanout",
            ScenarioName::Slow => "slow",
            ScenarioName::Rude => "rude",
            ScenarioName::All => "all",
        }
    }

    /// Whether clients lose their sockets, so that a baseline says something.
    pub(crate) fn cuts(self) -> bool {
        match self {
            ScenarioName::Cut | ScenarioName::Kill | ScenarioName::Rude => true,
            ScenarioName::Drain
            | ScenarioName::Worker
            | ScenarioName::Store
            | ScenarioName::Idle
            | ScenarioName::Fanout
            | ScenarioName::Slow
            | ScenarioName::All => false,
        }
    }

    /// Whether this program has to hold the processes itself.
    fn needs_stage(self) -> bool {
        match self {
            ScenarioName::Drain | ScenarioName::Worker | ScenarioName::Store => true,
            ScenarioName::Cut
            | ScenarioName::Kill
            | ScenarioName::Idle
            | ScenarioName::Fanout
            | ScenarioName::Slow
            | ScenarioName::Rude
            | ScenarioName::All => false,
        }
    }
}

/// How clients wait before they try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Jitter {
    /// The first time at once.
    Off,
    /// As the SDK does: random(0, min(30 s, 500 ms · 2^k)).
    Sdk,
}

impl Options {
    /// Refuses what cannot be done, and says what can.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let share = self.share.unwrap_or(0.5);
        ensure!(
            (0.0..=1.0).contains(&share),
            "--share is 0 to 1, such as 0.5"
        );
        ensure!(
            (0.0..=1_000_000.0).contains(&self.rate),
            "--rate is 0 to 1000000 actions a second"
        );
        for (flag, seconds) in [
            ("--warmup", self.warmup),
            ("--watch", self.watch),
            ("--patience", self.patience),
        ] {
            ensure!(
                (0.0..=86_400.0).contains(&seconds),
                "{flag} is 0 to 86400 seconds"
            );
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
        if !self.url.is_empty() {
            for url in &self.url {
                address(url)?;
            }
            trust(self.ca_file.as_deref())?;
            for name in self.scenario.each() {
                ensure!(
                    !name.needs_stage() || self.storm_command.is_some(),
                    "{} needs a --storm-command that does it to the deployment behind --url",
                    name.as_str()
                );
                ensure!(
                    !matches!(name, ScenarioName::Kill | ScenarioName::Rude)
                        || self.storm_command.is_some(),
                    "behind --url, {} needs a --storm-command; `cut` needs none",
                    name.as_str()
                );
            }
        }
        Ok(())
    }

    pub(crate) fn clients(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        self.clients.unwrap_or((cores * 1_000).min(5_000))
    }

    /// Clients of every kind.
    fn sockets(&self) -> u32 {
        let crowds = if self.scenario.each().contains(&ScenarioName::Rude) {
            2
        } else {
            1
        };
        crowds * self.clients()
    }

    /// The share of the clients that `cut` cuts.
    pub(crate) fn cut_share(&self) -> f64 {
        self.share.unwrap_or(0.5)
    }

    pub(crate) fn rooms(&self) -> u32 {
        let rooms = self.rooms.unwrap_or_else(|| self.clients().div_ceil(50));
        rooms.clamp(self.processes() as u32, self.clients().max(1))
    }

    pub(crate) fn processes(&self) -> usize {
        let needed = self.sockets().div_ceil(CLIENTS_MAX) as usize;
        self.processes.unwrap_or(needed).max(1)
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    pub(crate) fn watch(&self) -> Duration {
        Duration::from_secs_f64(self.watch)
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.patience)
    }
}

/// Whom clients believe.
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
