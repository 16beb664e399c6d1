use std::borrow::Cow;

use outlast_protocol::{CloseCode, ServerFrame};

/// Why a socket has to go, and what the client is told before it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bye {
    pub(crate) code: CloseCode,
    reason: Cow<'static, str>,
    pub(crate) retry_ms: Option<u64>,
}

impl Bye {
    pub(crate) fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Bye {
            code,
            reason: reason.into(),
            retry_ms: None,
        }
    }

    /// Tells the client when to come back.
    pub(crate) fn retry(self, retry_ms: u64) -> Self {
        Bye {
            retry_ms: Some(retry_ms),
            ..self
        }
    }

    pub(crate) fn protocol_error(reason: impl Into<Cow<'static, str>>) -> Self {
        Bye::new(CloseCode::ProtocolError, reason)
    }

    pub(crate) fn session_gone() -> Self {
        Bye::new(
            CloseCode::SessionGone,
            "no such session, or not with this key",
        )
    }

    pub(crate) fn taken_over() -> Self {
        Bye::new(
            CloseCode::TakenOver,
            "a newer socket has taken the session over",
        )
    }

    pub(crate) fn ended() -> Self {
        Bye::new(CloseCode::Ended, "the session has ended")
    }

    pub(crate) fn unauthorized(reason: impl Into<Cow<'static, str>>) -> Self {
        Bye::new(CloseCode::Unauthorized, reason)
    }

    pub(crate) fn busy(retry_ms: u64) -> Self {
        Bye::new(CloseCode::Busy, "the gateway cannot take the session now").retry(retry_ms)
    }

    /// The gateway goes away. When to come back is spread, so that not all come at once.
    pub(crate) fn moved() -> Self {
        const RETRY_MS: std::ops::Range<u64> = 0..1_000;
        let retry_ms = rand::random_range(RETRY_MS);
        Bye::new(CloseCode::Moved, "the gateway goes away").retry(retry_ms)
    }

    /// The frame that stands before the close frame.
    pub(crate) fn frame(&self) -> ServerFrame {
        ServerFrame::Bye {
            code: self.code,
            reason: self.reason.clone().into_owned(),
            resume: self.code.resumes(),
            retry_ms: self.retry_ms,
        }
    }
}

/// Why a socket ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The server closes it, and says why.
    Bye(Bye),
    /// The client has closed or lost it.
    Closed,
}

impl End {
    /// What has become of a socket that was asked to move (D3).
    pub(crate) fn of_a_move(&self) -> &'static str {
        match self {
            End::Bye(bye) if bye.code == CloseCode::TakenOver => "moved",
            End::Bye(bye) if bye.code == CloseCode::Moved => "closed",
            End::Bye(_) | End::Closed => "left",
        }
    }

    /// True if there may be a session left that has lost this socket.
    pub(crate) fn keeps_session(&self) -> bool {
        match self {
            End::Closed => true,
            End::Bye(bye) => match bye.code {
                CloseCode::SessionGone | CloseCode::TakenOver | CloseCode::Ended => false,
                CloseCode::Moved
                | CloseCode::Unauthorized
                | CloseCode::ProtocolError
                | CloseCode::TooSlow
                | CloseCode::Silent
                | CloseCode::RateLimited
                | CloseCode::TooManySessions
                | CloseCode::Busy
                | CloseCode::TooBig => true,
            },
        }
    }
}

impl From<Bye> for End {
    fn from(bye: Bye) -> Self {
        End::Bye(bye)
    }
}
