//! A part of the pool in a process of its own: commands come in on standard input and messages go out on
//! standard output, one JSON line each.

use std::process::Stdio;

use anyhow::Context;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
};

use super::{
    UNDER_WAY_MAX,
    command::{Command, Message},
    local,
};
use crate::role::{self, Role};

/// Starts the process. It ends when nobody gives it commands any more.
pub(super) fn start(
    commands: mpsc::Receiver<Command>,
    messages: mpsc::Sender<Message>,
) -> anyhow::Result<u32> {
    let mut child = role::command(Role::Clients)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a process for clients")?;
    let pid = child.id().context("it has just been started")?;
    let stdin = child.stdin.take().context("standard input is piped")?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    tokio::spawn(async move {
        write_lines(commands, stdin).await;
        child.wait().await.ok();
    });
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let report = serde_json::from_str(&line)
                .unwrap_or_else(|error| Message::Failed(format!("an unreadable report: {error}")));
            if messages.send(report).await.is_err() {
                break;
            }
        }
    });
    Ok(pid)
}

/// Runs the clients of such a process.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let (commands_out, commands) = mpsc::channel(UNDER_WAY_MAX);
    let (messages_out, messages) = mpsc::channel(UNDER_WAY_MAX);
    let running = tokio::spawn(local::run(commands, messages_out));
    tokio::spawn(write_lines(messages, tokio::io::stdout()));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        commands_out.send(serde_json::from_str(&line)?).await?;
    }
    running.abort();
    Ok(())
}

/// Writes each message as a line, until nobody sends or nobody reads.
async fn write_lines<T: Serialize>(
    mut messages: mpsc::Receiver<T>,
    mut to: impl AsyncWrite + Unpin,
) {
    while let Some(message) = messages.recv().await {
        let Ok(mut line) = serde_json::to_vec(&message) else {
            break;
        };
        line.push(b'\n');
        if to.write_all(&line).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
}
