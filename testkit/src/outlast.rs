//! Processes of the real `outlast`.

mod server;
mod starting;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

pub use server::{Exit, Log, Server};
pub use starting::Starting;

/// Where clients connect who need no address of their own choice.
const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Nobody has to answer pings who did not ask for them, however long a test takes.
const NO_PINGS: [&str; 2] = ["--heartbeat-ms", "3600000"];

/// A process that keeps everything in its rooms' logs, so that they can be compared whole.
pub const KEEP_ALL: [&str; 4] = ["--log-entries", "1000000", "--log-age-ms", "100000000"];

/// Returns `outlast` with these arguments and nothing of this process's own settings.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    let ours = |name: &str| name.starts_with("OUTLAST_") || name.starts_with("OTEL_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Returns a role on a store. Where its flags say nothing else, it has no admin listener, and who takes clients
/// listens on any port and pings nobody; it lets everybody in where no tokens are asked for.
pub fn role(role: &str, store: &str, flags: &[&str]) -> Command {
    let mut command = command(&[role, "--store", store]);
    let mut or = |default: &[&str]| {
        if !flags.contains(&default[0]) {
            command.args(default);
        }
    };
    or(&["--admin-listen", "off"]);
    if matches!(role, "all" | "gateway") {
        or(&ANY_PORT);
        or(&NO_PINGS);
        if !flags.iter().any(|flag| flag.starts_with("--token-")) {
            or(&["--allow-anonymous"]);
        }
    }
    command.args(flags);
    command
}

/// Where Cargo puts it when it builds the tests, or the benchmarks, of its package.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("outlast")
}
