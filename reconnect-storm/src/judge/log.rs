use outlast_protocol::{Member, Payload, Pos, ServerFrame};

/// A room's log, as far as a store holds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomLog {
    /// The entries, in the order of the log.
    pub entries: Vec<Logged>,
}

/// An entry of a room's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Where it stands.
    pub pos: Pos,
    /// The contents.
    pub body: LoggedBody,
}

/// The contents of an entry of a room's log.
#[derive(Debug, Clone, PartialEq)]
pub enum LoggedBody {
    /// For every member, but for `by` itself where it is quiet (A2).
    Event {
        /// The member whose action caused it.
        by: Option<Member>,
        /// The number of that action.
        n: Option<u64>,
        /// `by` is not sent it.
        quiet: bool,
        /// The event itself.
        data: Payload,
    },
    /// For one member.
    Notice {
        /// Which.
        to: Member,
        /// The notice itself.
        data: Payload,
    },
    /// The outcome of a member's action.
    Result {
        /// Which member.
        to: Member,
        /// The action's number.
        n: u64,
        /// The room took it.
        ok: bool,
    },
}

impl LoggedBody {
    /// Returns the entry as a frame tells a member of it, if the frame brings one.
    pub(super) fn told(frame: &ServerFrame, to: Member) -> Option<LoggedBody> {
        if let ServerFrame::Event { by, n, data, .. } = frame {
            let (by, n, quiet, data) = (*by, *n, false, data.clone());
            Some(LoggedBody::Event { by, n, quiet, data })
        } else if let ServerFrame::Notice { data, .. } = frame {
            let data = data.clone();
            Some(LoggedBody::Notice { to, data })
        } else if let ServerFrame::Result { n, ok, .. } = frame {
            let (n, ok) = (*n, *ok);
            Some(LoggedBody::Result { to, n, ok })
        } else {
            None
        }
    }

    /// The entry is sent to this member.
    pub(super) fn is_for(&self, member: Member) -> bool {
        match self {
            LoggedBody::Event { by, quiet, .. } => !(*quiet && *by == Some(member)),
            LoggedBody::Notice { to, .. } | LoggedBody::Result { to, .. } => *to == member,
        }
    }

    /// The action that it is the outcome of.
    pub(super) fn outcome_of(&self) -> Option<(Member, u64)> {
        match self {
            LoggedBody::Event { by, n, .. } => Some(((*by)?, (*n)?)),
            LoggedBody::Result { to, n, .. } => Some((*to, *n)),
            LoggedBody::Notice { .. } => None,
        }
    }

    /// The event's data.
    pub(super) fn event(&self) -> Option<&Payload> {
        match self {
            LoggedBody::Event { data, .. } => Some(data),
            LoggedBody::Notice { .. } | LoggedBody::Result { .. } => None,
        }
    }

    /// Equal, as far as a member is told: nobody is told who an event is not sent to.
    pub(super) fn says_the_same(&self, told: &LoggedBody) -> bool {
        match (self, told) {
            (
                LoggedBody::Event { by, n, data, .. },
                LoggedBody::Event {
                    by: told_by,
                    n: told_n,
                    data: told_data,
                    ..
                },
            ) => by == told_by && n == told_n && data == told_data,
            _ => self == told,
        }
    }
}
