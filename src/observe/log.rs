use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{IsTerminal, stderr},
    panic::PanicHookInfo,
    time::Duration,
};

use anyhow::Context;
use outlast_store::Throttle;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::cli::LogFormat;

/// The directives that keep these libraries from logging at finer levels, where keys and tokens would be shown (H3).
const NEVER_LOGGED: &str =
    "tungstenite=info,tokio_tungstenite=info,hyper=info,h2=info,jsonwebtoken=info";

/// Lines on standard error, without colour codes unless somebody looks.
///
/// # Errors
/// When the directives are none.
pub(super) fn lines(
    directives: &str,
    format: LogFormat,
) -> anyhow::Result<Box<dyn Layer<Registry> + Send + Sync>> {
    let filter = EnvFilter::try_new(format!("{directives},{NEVER_LOGGED}"))
        .with_context(|| format!("--log {directives:?} is no filter; try --log info"))?;
    let lines = fmt::layer().with_writer(stderr);
    Ok(match format {
        LogFormat::Text => lines
            .with_ansi(stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
        // One object a line: a line's own fields beside its time, level, target and message.
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
    })
}

/// Whoever finds an action at which a room panics can repeat it.
static PANICS: Throttle = Throttle::every(Duration::from_secs(1));

/// A panic is a line like any other. A room's costs one action (W5).
pub(super) fn panicked(panic: &PanicHookInfo<'_>) {
    if !PANICS.passes() {
        return;
    }
    let why = panic.payload_as_str().unwrap_or("of no text");
    let at = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(why, at, %backtrace, "a panic");
    } else {
        tracing::error!(why, at, "a panic");
    }
}
