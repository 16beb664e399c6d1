//! A part of the swarm in a process of its own: orders come in on standard input and reports go out on
//! standard output, one JSON line each.

use std::process::Stdio;

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::mpsc,
};

use super::{
    UNDER_WAY_MAX, crowd,
    order::{Order, Report},
};
use crate::part::{self, Part};

/// Starts the process. It ends when nobody gives it orders any more.
pub(super) fn start(
    mut orders: mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
) -> anyhow::Result<u32> {
    let mut child = part::command(Part::Swarm)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a process for clients")?;
    let pid = child.id().context("it has just been started")?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            let Ok(mut line) = serde_json::to_vec(&order) else {
                break;
            };
            line.push(b'\n');
            if stdin.write_all(&line).await.is_err() {
                break;
            }
        }
        drop(stdin);
        child.wait().await.ok();
    });
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let report = serde_json::from_str(&line)
                .unwrap_or_else(|error| Report::Failed(format!("an unreadable report: {error}")));
            if reports.send(report).await.is_err() {
                break;
            }
        }
    });
    Ok(pid)
}

/// What such a process does.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let (orders_out, orders) = mpsc::channel(UNDER_WAY_MAX);
    let (reports_out, mut reports) = mpsc::channel(UNDER_WAY_MAX);
    let running = tokio::spawn(crowd::run(orders, reports_out));
    tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(report) = reports.recv().await {
            let Ok(mut line) = serde_json::to_vec(&report) else {
                break;
            };
            line.push(b'\n');
            let written = stdout.write_all(&line).await;
            if written.is_err() || stdout.flush().await.is_err() {
                break;
            }
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        orders_out.send(serde_json::from_str(&line)?).await?;
    }
    running.abort();
    Ok(())
}
