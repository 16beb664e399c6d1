//! The configuration of the process, from flags, environment and file, with the defaults filled in.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Parser, error::ErrorKind};
use outlast_store::Layout;

use crate::{
    cli::{Cli, Command, Flags, LogFormat, RoleName},
    probe::Probe,
};

/// The task that the process is started for.
#[derive(Debug)]
pub(crate) enum Startup {
    /// Help or a version, which has been printed.
    Nothing,
    Probe(Probe),
    Serve(Box<Config>),
}

/// Everything that was decided before anything is started.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) role: RoleName,
    pub(crate) store: String,
    pub(crate) layout: Layout,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: AdminListen,
    pub(crate) allow_anonymous: bool,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    /// Where traces go, if anywhere.
    pub(crate) otlp_endpoint: Option<String>,
    /// The time that sockets have to move elsewhere; 0 where there is no elsewhere.
    pub(crate) drain_ms: u64,
    /// The rest, each with its own default where it is used.
    pub(crate) flags: Flags,
}

/// Where the admin listener goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminListen {
    Off,
    /// There, or nowhere.
    At(SocketAddr),
    /// There, or on a free port when that one is taken.
    Prefer(SocketAddr),
}

impl Config {
    /// Reads the process's arguments and environment.
    pub(crate) fn from_process() -> anyhow::Result<Startup> {
        match Cli::try_parse() {
            Ok(Cli {
                command: Some(Command::Probe { url, admin_listen }),
                ..
            }) => Ok(Startup::Probe(Probe::of(url.as_deref(), admin_listen)?)),
            Ok(cli) => Ok(Startup::Serve(Box::new(Config::from_cli(cli)?))),
            Err(error) if asks_for_help(&error) => {
                error.print().context("cannot print the help")?;
                Ok(Startup::Nothing)
            }
            Err(error) => bail!("{}", blame(&error)),
        }
    }

    /// True if it runs as it does without any flag, for who sits at this machine alone.
    pub(crate) fn is_tried_out(&self) -> bool {
        self.role == RoleName::All && self.flags.store.is_none() && self.listen.ip().is_loopback()
    }

    fn from_cli(cli: Cli) -> anyhow::Result<Config> {
        let file = cli
            .config
            .as_deref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        let flags = nearer_wins(file, &cli.flags)?;
        let role = cli.role;
        let layout = Layout {
            partitions: flags.partitions.unwrap_or(Layout::default().partitions),
            shards: flags.shards.unwrap_or(Layout::default().shards),
        };
        if layout.partitions == 0 || !layout.shards.is_power_of_two() || layout.shards > 256 {
            bail!("--partitions is at least 1, and --shards a power of two up to 256");
        }
        let store = match (&flags.store, role) {
            (Some(store), _) => store.clone(),
            (None, RoleName::All) => "embedded:./outlast-data".into(),
            (None, role) => bail!(
                "the role {} needs --store: the processes of a fleet share one, for example \
                 --store redis://127.0.0.1:6379",
                role.as_str()
            ),
        };
        for origin in flags.allow_origin.iter().flatten() {
            if !is_origin(origin) {
                bail!(
                    "--allow-origin {origin:?} is no origin: it is a scheme and a host, and a port where \
                     that is not the usual one, for example https://example.org"
                );
            }
        }
        let implied = role == RoleName::All && flags.store.is_none();
        Ok(Config {
            role,
            layout,
            listen: flags.listen.unwrap_or((Ipv4Addr::LOCALHOST, 8080).into()),
            admin_listen: admin_listen(flags.admin_listen.as_deref())?,
            allow_anonymous: flags.allow_anonymous.unwrap_or(implied),
            log: flags.log.clone().unwrap_or_else(|| "info".into()),
            log_format: flags.log_format.unwrap_or(LogFormat::Text),
            otlp_endpoint: flags.otlp_endpoint.clone(),
            drain_ms: if is_shared(&store) {
                flags.drain_ms.unwrap_or(30_000)
            } else {
                0
            },
            store,
            flags,
        })
    }
}

/// True if it could be what a browser sends as `Origin` (RFC 6454, section 7).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.trim_end_matches('/').split_once("://") else {
        return false;
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/@?#*,".contains(c);
    matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(odd)
}

/// True if there may be another gateway on this store.
fn is_shared(store: &str) -> bool {
    !store.starts_with("embedded:") && !store.starts_with("memory:")
}

fn admin_listen(flag: Option<&str>) -> anyhow::Result<AdminListen> {
    match flag {
        None => Ok(AdminListen::Prefer((Ipv4Addr::LOCALHOST, 9464).into())),
        Some("off") => Ok(AdminListen::Off),
        Some(address) => Ok(AdminListen::At(address.parse().with_context(|| {
            format!(
                "--admin-listen {address:?} is neither an address like 127.0.0.1:9464 nor `off`"
            )
        })?)),
    }
}

fn read_file(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read --config {}", path.display()))?;
    let table: toml::Table = text
        .parse()
        .with_context(|| format!("--config {} is not TOML", path.display()))?;
    check_file(&table)
        .with_context(|| format!("--config {} holds a setting that is wrong", path.display()))?;
    Ok(table)
}

/// Holds a file's settings to what the flags of the same names are held to.
fn check_file(table: &toml::Table) -> anyhow::Result<()> {
    Flags::deserialize_table(table.clone())?;
    let flags = table.iter().map(|(key, value)| {
        let text = |value: &toml::Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let values: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
        let value = if value.is_array() {
            values.join(",")
        } else {
            text(value)
        };
        format!("--{}={value}", key.replace('_', "-"))
    });
    let args = std::iter::once("outlast".to_owned()).chain(flags);
    Cli::try_parse_from(args).map_err(|error| anyhow::anyhow!("{}", blame(&error)))?;
    Ok(())
}

fn nearer_wins(mut file: toml::Table, nearer: &Flags) -> anyhow::Result<Flags> {
    file.extend(toml::Table::try_from(nearer).context("cannot merge the settings")?);
    Flags::deserialize_table(file)
}

impl Flags {
    fn deserialize_table(table: toml::Table) -> anyhow::Result<Flags> {
        Ok(table.try_into()?)
    }

    /// The files that hold keys for tokens, as (flag, path).
    pub(crate) fn token_files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        [
            ("--token-secret-file", &self.token_secret_file),
            ("--token-key-file", &self.token_key_file),
            ("--token-jwks-file", &self.token_jwks_file),
        ]
        .into_iter()
        .filter_map(|(flag, path)| Some((flag, path.as_ref()?)))
    }
}

/// True if this is no error, but what `--help` and `--version` print.
fn asks_for_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

/// Returns clap's error in one line, with where to look.
fn blame(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let tip = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("tip: "));
    let tip = tip
        .map(|tip| format!("; {}", tip.trim_start_matches("tip: ")))
        .unwrap_or_default();
    format!("{first}{tip}; `outlast --help` lists what there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> anyhow::Result<Config> {
        Config::from_cli(Cli::try_parse_from([&["outlast"], args].concat())?)
    }

    #[test]
    fn l1_alone_it_is_everything_for_anonymous_clients() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.role, RoleName::All);
        assert_eq!(config.store, "embedded:./outlast-data");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.allow_anonymous);
        assert!(!parse(&["--store", "memory:"]).unwrap().allow_anonymous);
        assert!(
            parse(&["--store", "memory:", "--allow-anonymous"])
                .unwrap()
                .allow_anonymous
        );
    }

    #[test]
    fn l3_other_roles_need_a_store() {
        for role in ["gateway", "worker", "sessions"] {
            let error = parse(&[role]).unwrap_err().to_string();
            assert!(error.contains("--store"), "{error}");
        }
    }

    #[test]
    fn l4_the_nearer_setting_wins() {
        let file: toml::Table =
            "session_ttl_ms = 1\nlease_ms = 300\nallow_origin = [\"https://a\"]"
                .parse()
                .unwrap();
        let near = Flags {
            session_ttl_ms: Some(2),
            ..Flags::default()
        };
        let flags = nearer_wins(file, &near).unwrap();
        assert_eq!(flags.session_ttl_ms, Some(2));
        assert_eq!(flags.lease_ms, Some(300));
        assert_eq!(flags.allow_origin, Some(vec!["https://a".to_owned()]));
    }

    #[test]
    fn l5_what_is_no_origin_is_refused() {
        for origin in [
            "example.org",
            "https://",
            "https://a/b",
            "*",
            "null",
            "ftp://a",
        ] {
            let error = parse(&["--allow-origin", origin]).unwrap_err().to_string();
            assert!(error.contains("https://example.org"), "{error}");
        }
        assert!(parse(&["--allow-origin", "https://a.example:8443,http://b/"]).is_ok());
    }

    #[test]
    fn l5_numbers_that_make_no_sense_are_refused() {
        for flags in [
            ["--session-ttl-ms", "0"],
            ["--frame-bytes", "0"],
            ["--actions-per-s", "0"],
        ] {
            assert!(parse(&flags).is_err(), "{flags:?}");
        }
        for (text, holds) in [
            ("session_ttl_ms = 0", false),
            ("heartbeat_ms = 1", false),
            (
                "heartbeat_ms = 1000\nallow_anonymous = true\nallow_origin = [\"https://a\", \"http://b\"]",
                true,
            ),
        ] {
            let checked = check_file(&text.parse().unwrap());
            assert_eq!(checked.is_ok(), holds, "{checked:?}");
        }
    }

    #[test]
    fn l5_a_wrong_key_in_the_file_is_named() {
        let file: toml::Table = "session_ttl = 1".parse().unwrap();
        let error = format!("{:#}", Flags::deserialize_table(file).unwrap_err());
        assert!(error.contains("session_ttl"), "{error}");
    }
}
