//! Changing a record: read, let something happen to it, write if nobody else has written; and what to do
//! when the store does not answer.

use std::time::Duration;

use outlast_protocol::Sid;
use outlast_store::{StoreError, WriteOutcome};
use tokio::time::sleep;

use crate::{SessionError, machine::Session, records::Records};

/// The number of times that a record is read again because somebody else has written it in between.
const ATTEMPTS_MAX: usize = 16;

/// The number of times that the store may leave a write without an answer before that is the answer.
const UNANSWERED_MAX: usize = 2;

/// The time that a lost connection to the store takes to be replaced, when the store is there.
const RECONNECT: Duration = Duration::from_millis(100);

/// The pauses of [`insist`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

impl Records {
    /// Writes a new session. When the answer is lost the same is written again: if it had happened, that
    /// finds itself.
    ///
    /// # Errors
    /// [`SessionError::TooMany`]; [`SessionError::Store`], after which it may have happened.
    pub(crate) async fn create(&self, sid: Sid, session: &Session) -> Result<(), SessionError> {
        let mut unanswered = 0;
        loop {
            let refused = match self.write(sid, 0, session).await {
                Ok(WriteOutcome::Done { .. }) => return Ok(()),
                Ok(WriteOutcome::Conflict) => contended(),
                Ok(WriteOutcome::GroupFull) => SessionError::TooMany {
                    max: self.settings().per_user_max,
                },
                Err(error) => {
                    unanswered = tolerate(error, unanswered).await?;
                    continue;
                }
            };
            let found = self.read(sid).await?;
            let is_ours = found.is_some_and(|found| found.session.keys == session.keys);
            return if is_ours { Ok(()) } else { Err(refused) };
        }
    }

    /// Reads a session, lets `event` happen to it and writes it, as one step. An event that changes
    /// nothing is not written; so an event that finds that it has happened already may be repeated.
    /// Returns the session as it is then.
    ///
    /// # Errors
    /// [`SessionError::Gone`] where there is none, and whatever the event says;
    /// [`SessionError::Store`], after which it may have happened.
    pub(crate) async fn change(
        &self,
        sid: Sid,
        mut event: impl FnMut(&mut Session, u64) -> Result<(), SessionError>,
    ) -> Result<Session, SessionError> {
        let mut unanswered = 0;
        for _ in 0..ATTEMPTS_MAX {
            // What was read is not kept while the change is written.
            let (version, session) = {
                let found = self.read(sid).await?.ok_or(SessionError::Gone)?;
                let mut session = found.session.clone();
                event(&mut session, found.now_ms)?;
                if session == found.session {
                    return Ok(session);
                }
                (found.version, session)
            };
            match self.write(sid, version, &session).await {
                Ok(WriteOutcome::Done { .. }) => return Ok(session),
                Ok(WriteOutcome::Conflict | WriteOutcome::GroupFull) => {}
                Err(error) => unanswered = tolerate(error, unanswered).await?,
            }
        }
        Err(contended())
    }
}

/// Counts a write whose answer was lost, and waits for the store to come back; fails at one too many, or
/// at any other error.
async fn tolerate(error: StoreError, unanswered: usize) -> Result<usize, StoreError> {
    if matches!(error, StoreError::Unavailable(_)) && unanswered + 1 < UNANSWERED_MAX {
        sleep(RECONNECT).await;
        return Ok(unanswered + 1);
    }
    Err(error)
}

/// The record was written by others, time and again, before it could be written here.
fn contended() -> SessionError {
    StoreError::Unavailable("the session's record keeps changing".into()).into()
}

/// Repeats what the store has not answered, or has no room for, until it is done. Ever more slowly, and
/// at random moments, so that a store that returns is not met by everybody at once.
pub(crate) async fn retry<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, SessionError>
where
    F: Future<Output = Result<T, SessionError>>,
{
    let mut pause = PAUSE_FIRST;
    loop {
        match attempt().await {
            Err(SessionError::Store(StoreError::Unavailable(_) | StoreError::Full(_))) => {}
            settled => return settled,
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}
