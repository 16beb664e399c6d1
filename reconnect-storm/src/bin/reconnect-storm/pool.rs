//! The clients: as many as there are to be, in this process or in several.

mod bare;
mod child;
mod command;
mod latency;
mod local;
mod observer;
mod scoreboard;
mod stamp;
mod timeline;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use self::command::Message;
pub(crate) use self::{
    child::serve as serve_child,
    command::{Cohort, Command, Kind, Recovery, Results, Sample},
    latency::Latencies,
    timeline::Timeline,
};

/// All clients, wherever they run. Dropping it lets them all go.
#[derive(Debug)]
pub(crate) struct ClientPool {
    processes: Vec<PoolProcess>,
    timeline: Arc<Mutex<Timeline>>,
}

/// One process's worth of clients.
#[derive(Debug)]
struct PoolProcess {
    commands: mpsc::Sender<Command>,
    done: mpsc::Receiver<Result<Results, String>>,
    pid: u32,
}

/// The number of commands or messages that may be under way.
const UNDER_WAY_MAX: usize = 64;

impl ClientPool {
    /// Nobody yet, in so many processes.
    pub(crate) fn start(count: usize) -> anyhow::Result<ClientPool> {
        let timeline = Arc::new(Mutex::new(Timeline::new(count)));
        let mut processes = Vec::new();
        for process in 0..count {
            let (commands, commands_in) = mpsc::channel(UNDER_WAY_MAX);
            let (messages_out, mut messages) = mpsc::channel(UNDER_WAY_MAX);
            let pid = if count == 1 {
                tokio::spawn(local::run(commands_in, messages_out));
                std::process::id()
            } else {
                child::start(commands_in, messages_out)?
            };
            let (done_out, done) = mpsc::channel(1);
            let timeline = timeline.clone();
            tokio::spawn(async move {
                while let Some(message) = messages.recv().await {
                    let done = match message {
                        Message::Sample(sample) => {
                            timeline.lock().add(process, *sample);
                            continue;
                        }
                        Message::Done(done) => Ok(*done),
                        Message::Failed(error) => Err(error),
                    };
                    if done_out.send(done).await.is_err() {
                        break;
                    }
                }
            });
            processes.push(PoolProcess {
                commands,
                done,
                pid,
            });
        }
        Ok(ClientPool {
            processes,
            timeline,
        })
    }

    /// A cohort comes, each process taking its part of the clients and of the rooms.
    pub(crate) async fn arrive(&mut self, cohort: Cohort) -> anyhow::Result<()> {
        let parts = self.processes.len() as u32;
        let share = |all: u32, part: u32| all * part / parts..all * (part + 1) / parts;
        let commands = (0..parts).map(|part| {
            let (clients, rooms) = (share(cohort.clients, part), share(cohort.rooms, part));
            Command::Arrive(Cohort {
                first: cohort.first + clients.start,
                clients: clients.len() as u32,
                first_room: cohort.first_room + rooms.start,
                rooms: rooms.len() as u32,
                ..cohort.clone()
            })
        });
        self.obey(commands.collect()).await.map(drop)
    }

    /// Everybody is told the same.
    pub(crate) async fn all(&mut self, mut command: Command) -> anyhow::Result<Results> {
        let parts = self.processes.len();
        if let Command::Act { per_s, .. } = &mut command {
            *per_s /= parts as f64;
        }
        self.obey(vec![command; parts]).await
    }

    /// Ends the run, and returns what became of everybody.
    pub(crate) async fn settle(&mut self, within: Duration) -> anyhow::Result<Results> {
        let within_ms = within.as_millis() as u64;
        self.all(Command::Settle { within_ms }).await
    }

    /// The samples so far.
    pub(crate) fn timeline(&self) -> Arc<Mutex<Timeline>> {
        self.timeline.clone()
    }

    /// The processes that the clients run in.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    async fn obey(&mut self, commands: Vec<Command>) -> anyhow::Result<Results> {
        for (process, command) in self.processes.iter().zip(commands) {
            let sent = process.commands.send(command).await;
            sent.context("a process of the pool is gone")?;
        }
        let mut all = Results::default();
        for process in &mut self.processes {
            let done = process.done.recv().await;
            match done.context("a process of the pool is gone")? {
                Ok(done) => {
                    all.recoveries.extend(done.recoveries);
                    all.verdict.add(done.verdict);
                }
                Err(error) => bail!(error),
            }
        }
        Ok(all)
    }
}
