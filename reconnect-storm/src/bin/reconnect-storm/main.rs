//! The load test that ships with outlast: everybody comes back at once, and it is shown who notices.

mod bare;
mod baseline;
mod experiment;
mod options;
mod pool;
mod probe;
mod progress;
mod report;
mod role;
mod scenario;
mod testbed;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::{options::Options, report::Run, role::Role};

/// Something was lost, doubled, out of order, or reset without a reason.
const UNSOUND: u8 = 1;
/// The run could not be done.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    // Where it cannot be raised, whoever needs more is told when it runs out.
    rlimit::increase_nofile_limit(u64::MAX).ok();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("cannot start")
        .and_then(|runtime| runtime.block_on(play()));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            progress::say(&format!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn play() -> anyhow::Result<ExitCode> {
    if let Some(role) = Role::of_this_process() {
        match role {
            Role::BareServer => bare::serve().await?,
            Role::Clients => pool::serve_child().await?,
            Role::DieWithParent => role::become_another()?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    options.check()?;
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        code = storm(&options) => code,
        // Leaving here drops the testbed, and with it every process.
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to stop"),
    }
}

async fn storm(options: &Options) -> anyhow::Result<ExitCode> {
    let mut runs = Vec::new();
    for name in options.scenario.each() {
        let run = scenario::run(name, options).await?;
        write!(std::io::stdout(), "{}", report::table(&run))?;
        runs.push(run);
    }
    report::write(&runs, options, &command_line())?;
    let sound = runs.iter().all(Run::is_clean);
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNSOUND)
    })
}

/// The command line, for whoever wants the same figures again.
fn command_line() -> String {
    let words = std::env::args().skip(1);
    let mut line = "cargo run --release -p reconnect-storm --".to_owned();
    let mut is_secret = false;
    for word in words {
        let shown = if is_secret { "…" } else { &word };
        line.push(' ');
        line.push_str(shown);
        is_secret = word == "--token";
    }
    line
}
