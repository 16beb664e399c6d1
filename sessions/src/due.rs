//! Doing what is due about sessions: telling their rooms, then writing or deleting them.
//!
//! Anybody may do this at any time, several at once and any number of times: a room that was told twice
//! ignores it, and of several writes of a record the first wins. So a process may be killed anywhere in
//! here; what it left undone is still due.

use std::collections::HashSet;

use futures_util::future;
use metrics::counter;
use outlast_protocol::Sid;
use outlast_store::{NodeId, StoreError, WriteOutcome};

use crate::{
    machine::{Effect, Notice, Transition},
    records::{Loaded, Records, RoomNotice},
    telemetry,
};

/// When to try again to tell a room whose topic did not take it, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The findings about sessions that an index had named.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Those whose records this version cannot read, with why.
    pub(crate) unreadable: Vec<(Sid, String)>,
    /// Those whose records do not bear the index out, or are not there.
    pub(crate) astray: Vec<Sid>,
}

/// Does the next thing that is due about each of these sessions.
///
/// # Errors
/// When the store does not answer; what was left undone is still due.
pub(crate) async fn settle_due(records: &Records, sids: Vec<Sid>) -> Result<Findings, StoreError> {
    let (found, unreadable) = records.read_all(&sids).await?;
    let settings = records.settings();
    let is_due = |loaded: &Loaded| {
        let due_ms = loaded.session.due_ms(&settings);
        due_ms.is_some_and(|due_ms| due_ms <= loaded.now_ms)
    };
    let astray = astray(&sids, &found, &unreadable, is_due);
    let due = |loaded: Loaded| {
        let step = loaded.session.due(loaded.now_ms, &settings);
        (loaded, step)
    };
    let steps: Vec<_> = found.into_iter().map(due).collect();
    let news = steps.iter().filter_map(|(loaded, step)| {
        Some(RoomNotice {
            sid: loaded.sid,
            session: &loaded.session,
            tell: step.tell?,
            decided_ms: loaded.now_ms,
        })
    });
    let refused = records.tell(news).await;
    let told = |loaded: &Loaded| {
        let mut rooms = loaded.session.rooms.iter();
        rooms.all(|room| !refused.contains(&records.store.layout().partition(room)))
    };
    all(steps
        .iter()
        .map(|(loaded, step)| write(records, loaded, step, told(loaded))))
    .await?;
    Ok(Findings { unreadable, astray })
}

/// Detaches those of these sessions whose sockets a dead gateway holds.
///
/// # Errors
/// When the store does not answer; what was not detached is still the gateway's.
pub(crate) async fn lose(
    records: &Records,
    sids: Vec<Sid>,
    dead: &NodeId,
    since_ms: u64,
) -> Result<Findings, StoreError> {
    let (found, unreadable) = records.read_all(&sids).await?;
    let is_held = |loaded: &Loaded| loaded.session.gateway() == Some(dead);
    let astray = astray(&sids, &found, &unreadable, is_held);
    all(found.iter().map(async |loaded| {
        let mut session = loaded.session.clone();
        session.lose(dead, since_ms);
        if session != loaded.session {
            tracing::debug!(sid = %loaded.sid, gateway = %dead, "detaching a session of a dead gateway");
            records.write(loaded.sid, loaded.version, &session).await?;
        }
        Ok(())
    }))
    .await?;
    Ok(Findings { unreadable, astray })
}

/// Those of the sessions that an index named whose records do not say the same.
fn astray(
    sids: &[Sid],
    found: &[Loaded],
    unreadable: &[(Sid, String)],
    borne_out: impl Fn(&Loaded) -> bool,
) -> Vec<Sid> {
    let found = found.iter().filter(|loaded| borne_out(loaded));
    let unreadable = unreadable.iter().map(|(sid, _)| *sid);
    let right: HashSet<_> = found.map(|loaded| loaded.sid).chain(unreadable).collect();
    let astray = sids.iter().filter(|sid| !right.contains(*sid));
    astray.copied().collect()
}

/// Writes what follows once the rooms have been told.
async fn write(
    records: &Records,
    old: &Loaded,
    step: &Transition,
    told: bool,
) -> Result<(), StoreError> {
    let written = match &step.then {
        _ if step.tell.is_some() && !told => {
            return records.postpone(old, RETRY_MS).await.map(drop);
        }
        Effect::Write(session) => records.write(old.sid, old.version, session).await?,
        Effect::Delete => records.delete(old).await?,
    };
    match (step.tell, written) {
        (Some(Notice::Detached), WriteOutcome::Done { .. }) => {
            counter!(telemetry::DETACHED_TOLD).increment(1);
            tracing::debug!(sid = %old.sid, rooms = old.session.rooms.len(), "session is away; rooms notified");
        }
        (Some(Notice::Over(reason)), WriteOutcome::Done { .. }) => {
            telemetry::over(reason);
            tracing::debug!(sid = %old.sid, rooms = old.session.rooms.len(), ?reason, "session is over; rooms notified");
        }
        // Not done: somebody else did it, or something else happened to it. It will show if it is due.
        (Some(Notice::Attached) | None, _)
        | (_, WriteOutcome::Conflict | WriteOutcome::GroupFull) => {}
    }
    Ok(())
}

/// Waits for all of them; answers an error if there was one.
async fn all<F>(writes: impl Iterator<Item = F>) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    future::join_all(writes).await.into_iter().collect()
}
