//! The gateway's memory for an idle session: what lies in RAM with all of them, less what
//! lay there before, by their number.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    crowd::Member, fleet::Fleet, machine::load_average, options::Options, process::Process,
};

/// The most that a session may take that is open and in no room, in bytes.
pub(crate) const OPEN_BYTES_MAX: f64 = 6.0 * 1024.0;

/// The number of sessions in a room.
pub(crate) const ROOM_MEMBERS: usize = 50;

/// Bytes of RAM.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) sessions: usize,
    pub(crate) open: Held,
    pub(crate) joined: Held,
    pub(crate) load_average: [f64; 2],
}

/// The memory that a gateway held.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Held {
    pub(crate) before_bytes: u64,
    pub(crate) with_all_bytes: u64,
    pub(crate) per_session_bytes: f64,
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Memory> {
    let load_before = load_average();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let held = |rooms| runtime.block_on(hold(options.sessions, rooms));
    Ok(Memory {
        sessions: options.sessions,
        open: held(Rooms::None)?,
        joined: held(Rooms::One)?,
        load_average: [load_before, load_average()],
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rooms {
    None,
    One,
}

/// Sessions that come first and go again: code and buffers that a gateway needs once are no session's.
const FIRST: usize = 100;
/// The number of sessions that come at a time.
const AT_ONCE: usize = 64;
/// The longest time that all of them may take.
const ALL_WITHIN: Duration = Duration::from_secs(120);

async fn hold(sessions: usize, rooms: Rooms) -> anyhow::Result<Held> {
    let fleet = Fleet::start()?;
    drop(seat(&fleet, FIRST, rooms).await?);
    let before_bytes = settled(&fleet.gateway).await?;
    let mut crowd = seat(&fleet, sessions, rooms).await?;
    let with_all_bytes = settled(&fleet.gateway).await?;
    if let Some(ended) = crowd.try_join_next() {
        ended?.context("a session was lost")?;
    }
    ensure!(crowd.len() == sessions, "sessions were lost");
    let per_session_bytes = (with_all_bytes as f64 - before_bytes as f64) / sessions as f64;
    eprintln!(
        "memory: {sessions} sessions, rooms {rooms:?}: {} KB before, {} KB with all, {:.2} KB each",
        before_bytes / 1024,
        with_all_bytes / 1024,
        per_session_bytes / 1024.0
    );
    Ok(Held {
        before_bytes,
        with_all_bytes,
        per_session_bytes,
    })
}

type Crowd = JoinSet<anyhow::Result<()>>;

/// Sessions that read what comes, and say nothing. They go when the crowd is dropped.
async fn seat(fleet: &Fleet, sessions: usize, rooms: Rooms) -> anyhow::Result<Crowd> {
    let (seated, mut news) = mpsc::channel(sessions);
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut crowd = Crowd::new();
    for number in 0..sessions {
        let (address, gate, seated) = (fleet.address, gate.clone(), seated.clone());
        crowd.spawn(async move {
            let place = gate.acquire().await?;
            let mut member = Member::open(address).await?;
            if rooms == Rooms::One {
                let room = format!("chat/room-{}", number / ROOM_MEMBERS);
                member.join(&room, &format!("member {number}")).await?;
            }
            drop(place);
            seated.send(()).await?;
            loop {
                member.receive().await?;
            }
        });
    }
    let all = async {
        for _ in 0..sessions {
            tokio::select! {
                _ = news.recv() => {}
                Some(ended) = crowd.join_next() => ended?.context("a session was lost")?,
            }
        }
        anyhow::Ok(())
    };
    timeout(ALL_WITHIN, all)
        .await
        .context("the sessions take too long to open")??;
    Ok(crowd)
}

/// Returns the memory that a process holds when that no longer changes.
async fn settled(process: &Process) -> anyhow::Result<u64> {
    const STEP: Duration = Duration::from_millis(500);
    const STEADY_STEPS: u32 = 24;
    const STEPS_MAX: u32 = 120;
    let (mut last, mut steady) = (process.rss_bytes()?, 0);
    for _ in 0..STEPS_MAX {
        sleep(STEP).await;
        let now = process.rss_bytes()?;
        steady = if now.abs_diff(last) * 200 < last {
            steady + 1
        } else {
            0
        };
        if steady == 0 {
            last = now;
        }
        if steady == STEADY_STEPS {
            return Ok(now);
        }
    }
    process.rss_bytes()
}
