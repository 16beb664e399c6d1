//! From the first frame to a session (H5, S1, S3).

use std::time::Duration;

use outlast_protocol::CloseCode;
use outlast_sessions::{Attachment, SessionError};
use outlast_store::{StoreError, Throttle};
use tracing::{Instrument, Span};

use crate::{auth::AuthError, bye::Bye, first_frame::FirstFrame, gateway::Shared, telemetry};

/// While two versions run side by side, this may befall everybody, again and again.
static STRANGE: Throttle = Throttle::every(Duration::from_secs(60));

/// Gives the client a session, or its session back.
pub(crate) async fn attach(shared: &Shared, first_frame: &FirstFrame) -> Result<Attachment, Bye> {
    let attach = async {
        match first_frame {
            FirstFrame::Open { token, local } => open(shared, token.as_deref(), *local).await,
            FirstFrame::Resume {
                sid, key, token, ..
            } => resume(shared, sid, key, token.as_deref()).await,
        }
    };
    let attached = attach
        .instrument(tracing::debug_span!("attach.record"))
        .await;
    let outcome = attached
        .as_ref()
        .map_or_else(|bye| bye.code.name(), |_| "attached");
    Span::current().record("outcome", outcome);
    metrics::counter!(telemetry::ATTACHES, "outcome" => outcome).increment(1);
    attached
}

/// What a client is told that cannot be let in now (D1).
pub(crate) fn busy() -> Bye {
    const RETRY_MS: std::ops::Range<u64> = 500..2_000;
    Bye::busy(rand::random_range(RETRY_MS))
}

async fn open(shared: &Shared, token: Option<&str>, local: bool) -> Result<Attachment, Bye> {
    let identity = shared.auth.identify(token, local).map_err(unauthorized)?;
    if shared.is_down() {
        return Err(busy());
    }
    let open = shared.sessions.open(identity, &shared.me);
    Box::pin(open).await.map_err(refused)
}

async fn resume(
    shared: &Shared,
    sid: &str,
    key: &str,
    token: Option<&str>,
) -> Result<Attachment, Bye> {
    let newer = token
        .map(|token| shared.auth.verify(token))
        .transpose()
        .map_err(unauthorized)?;
    if shared.is_down() {
        return Err(busy());
    }
    let resume = shared.sessions.resume(sid, key, newer.as_ref(), &shared.me);
    Box::pin(resume).await.map_err(refused)
}

fn unauthorized(error: AuthError) -> Bye {
    Bye::unauthorized(error.to_string())
}

fn refused(error: SessionError) -> Bye {
    match error {
        SessionError::Gone => Bye::session_gone(),
        // Of two resumes with one key, only the client knows which socket it still has (S5).
        SessionError::Superseded => busy(),
        SessionError::OtherUser => unauthorized(AuthError::OtherUser),
        SessionError::TooMany { .. } => Bye::new(CloseCode::TooManySessions, error.to_string()),
        SessionError::TooManyRooms { .. } | SessionError::Unreadable(_) => {
            if STRANGE.passes() {
                tracing::error!(%error, "attaching a session failed");
            }
            busy()
        }
        SessionError::Store(error) => no_answer(&error),
    }
}

/// What a client is told when the store did not do what its attach needs.
fn no_answer(error: &StoreError) -> Bye {
    tracing::debug!(%error, "store could not attach a session");
    busy()
}
