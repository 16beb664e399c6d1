//! Doing what is due about sessions: telling their rooms, then writing or deleting them.
//!
//! Anybody may do this at any time, several at once and any number of times: a room that was told twice
//! ignores it, and of several writes of a record the first wins. So a process may be killed anywhere in
//! here; what it left undone is still due.

use futures_util::{StreamExt, stream};
use outlast_broker::{BrokerError, Written};
use outlast_protocol::Sid;

use crate::{
    SessionError,
    machine::{Next, Step, Tell},
    meters,
    shelf::{Loaded, Shelf},
};

/// How many records are read, or written, at a time.
const CONCURRENT: usize = 64;

/// When to try again to tell a room whose topic is full, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Does the next thing that is due about each of these sessions. Answers those whose records this version
/// cannot read, with why.
///
/// # Errors
/// When the store does not answer; what was left undone is still due.
pub(crate) async fn advance(
    shelf: &Shelf,
    sids: Vec<Sid>,
) -> Result<Vec<(Sid, String)>, BrokerError> {
    let mut steps = Vec::new();
    let mut unreadable = Vec::new();
    let mut reads = stream::iter(sids)
        .map(|sid| async move { (sid, shelf.read(sid).await) })
        .buffer_unordered(CONCURRENT);
    while let Some((sid, read)) = reads.next().await {
        match read {
            Ok(Some(loaded)) => {
                let step = loaded.session.due(loaded.now_ms, &shelf.settings);
                steps.push((loaded, step));
            }
            Ok(None) => {}
            Err(SessionError::Broker(error)) => return Err(error),
            Err(error) => unreadable.push((sid, error.to_string())),
        }
    }
    let news = steps
        .iter()
        .filter_map(|(loaded, step)| Some((loaded, step.tell?)));
    let refused = shelf.tell(news).await?;
    let told = |loaded: &Loaded| {
        let mut rooms = loaded.session.rooms.iter();
        rooms.all(|room| !refused.contains(&shelf.broker.layout().partition(room)))
    };
    let writes = steps
        .iter()
        .map(|(loaded, step)| write(shelf, loaded, step, told(loaded)));
    let written: Vec<_> = stream::iter(writes)
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    written.into_iter().collect::<Result<(), _>>()?;
    Ok(unreadable)
}

/// Writes what follows once the rooms have been told.
async fn write(shelf: &Shelf, old: &Loaded, step: &Step, told: bool) -> Result<(), BrokerError> {
    let written = match &step.then {
        _ if step.tell.is_some() && !told => {
            return shelf.postpone(old, RETRY_MS).await.map(drop);
        }
        Next::Write(session) => shelf.replace(old, session).await?,
        Next::Delete => shelf.delete(old).await?,
    };
    match (step.tell, written) {
        (Some(Tell::Detached), Written::Done { .. }) => meters::detached_told(),
        (Some(Tell::Over(reason)), Written::Done { .. }) => meters::over(reason),
        // Not done: somebody else did it, or something else happened to it. It will show if it is due.
        (Some(Tell::Attached) | None, _) | (_, Written::Conflict | Written::GroupFull) => {}
    }
    Ok(())
}
