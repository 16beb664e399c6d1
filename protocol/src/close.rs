use serde::{Deserialize, Serialize};

/// Why the server closes a socket (SPEC section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
pub enum CloseCode {
    /// The gateway goes away; the session lives on elsewhere.
    Moved,
    /// No such session, or not with this key.
    SessionGone,
    /// A newer socket of the same session took over.
    TakenOver,
    /// The token is missing, wrong or expired.
    Unauthorized,
    /// The client broke the protocol.
    ProtocolError,
    /// The client has not read for too long.
    TooSlow,
    /// Nothing was heard from the client for too long.
    Silent,
    /// The client went on sending above its rate.
    RateLimited,
    /// The user has too many sessions, or the address too many sockets.
    TooManySessions,
    /// The client ended its session.
    Ended,
    /// The gateway cannot take the socket now.
    Busy,
    /// A frame was larger than `frame_bytes`.
    TooBig,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [CloseCode; 12] = [
        CloseCode::Moved,
        CloseCode::SessionGone,
        CloseCode::TakenOver,
        CloseCode::Unauthorized,
        CloseCode::ProtocolError,
        CloseCode::TooSlow,
        CloseCode::Silent,
        CloseCode::RateLimited,
        CloseCode::TooManySessions,
        CloseCode::Ended,
        CloseCode::Busy,
        CloseCode::TooBig,
    ];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            CloseCode::Moved => 4000,
            CloseCode::SessionGone => 4001,
            CloseCode::TakenOver => 4002,
            CloseCode::Unauthorized => 4003,
            CloseCode::ProtocolError => 4004,
            CloseCode::TooSlow => 4005,
            CloseCode::Silent => 4006,
            CloseCode::RateLimited => 4008,
            CloseCode::TooManySessions => 4009,
            CloseCode::Ended => 4010,
            CloseCode::Busy => 4013,
            CloseCode::TooBig => 1009,
        }
    }

    /// The name of the code in SPEC section 9.
    pub fn name(self) -> &'static str {
        match self {
            CloseCode::Moved => "moved",
            CloseCode::SessionGone => "session_gone",
            CloseCode::TakenOver => "taken_over",
            CloseCode::Unauthorized => "unauthorized",
            CloseCode::ProtocolError => "protocol_error",
            CloseCode::TooSlow => "too_slow",
            CloseCode::Silent => "silent",
            CloseCode::RateLimited => "rate_limited",
            CloseCode::TooManySessions => "too_many_sessions",
            CloseCode::Ended => "ended",
            CloseCode::Busy => "busy",
            CloseCode::TooBig => "too_big",
        }
    }

    /// True if the client, told this, comes back with `resume`.
    pub fn resumes(self) -> bool {
        match self {
            CloseCode::Moved
            | CloseCode::TooSlow
            | CloseCode::Silent
            | CloseCode::RateLimited
            | CloseCode::Busy => true,
            CloseCode::SessionGone
            | CloseCode::TakenOver
            | CloseCode::Unauthorized
            | CloseCode::ProtocolError
            | CloseCode::TooManySessions
            | CloseCode::Ended
            | CloseCode::TooBig => false,
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.code()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        CloseCode::ALL
            .into_iter()
            .find(|code| code.code() == number)
            .ok_or_else(|| format!("{number} is no close code of protocol 1"))
    }
}
