use outlast_protocol::{Payload, Pos, RoomName, Sid};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// A room's message to the gateway of one session; announced with the commit that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The session that it is for.
    pub sid: Sid,
    /// The room that speaks.
    pub room: RoomName,
    /// The answer.
    #[serde(rename = "says")]
    pub answer: Answer,
}

/// A room's answer to the gateway of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The join was taken, or had been: the state is of `pos`, whatever `n` it answers.
    #[serde(rename = "joined")]
    Joined {
        /// The join's number.
        n: u64,
        /// The last action applied: above `n` where the join is repeated. The outcomes of what lies between
        /// stand in the log before `pos`.
        applied: u64,
        /// The session's member number in the room.
        member: u32,
        /// The last entry that the state includes.
        pos: Pos,
        /// The state that the room shows to this member.
        state: Payload,
    },
    /// The outcome of a leave, or of an action that was refused while the session was no member.
    #[serde(rename = "outcome")]
    Outcome(Outcome),
    /// The number was higher than the next.
    #[serde(rename = "gap")]
    Gap {
        /// The number that the room expects.
        expect: u64,
    },
    /// The action was not taken; its number is free again (A5).
    #[serde(rename = "error")]
    NotTaken {
        /// The action's number; 0 answers what has none (`Attached`, `View`, `Look`, `Reload`): the room stands still,
        /// and says so rather than nothing (W10).
        n: u64,
        /// Why, for programs.
        code: String,
        /// Why, for people.
        message: String,
        /// When to send it again, in milliseconds.
        retry_ms: Option<u64>,
    },
    /// A newer socket of the session has spoken here: what this one asks for counts no more (S5).
    #[serde(rename = "superseded")]
    Superseded {
        /// The generation that asked.
        #[serde(rename = "gen")]
        generation: u64,
    },
    /// Returns `Attached`, `Arrived` and `View`: where the session stands in the room.
    #[serde(rename = "seated")]
    Seated {
        /// The generation that asked.
        #[serde(rename = "gen")]
        generation: u64,
        /// The session's member number in the room, when it is a member.
        member: Option<u32>,
        /// The last action applied.
        n: u64,
        /// The room's last entry.
        pos: Pos,
        /// Where the newest join left the log, when it is a member; a client that stands before it
        /// has to be given the state anew.
        joined: Option<Pos>,
        /// The state that the room shows to this member at `pos`, if that was asked for.
        #[serde(
            default,
            deserialize_with = "outlast_protocol::given",
            skip_serializing_if = "Option::is_none"
        )]
        state: Option<Payload>,
    },
}

impl Answer {
    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        let payload = |payload: &Payload| payload.as_json().len();
        OVERHEAD
            + match self {
                Answer::Joined { state, .. } => payload(state),
                Answer::Seated { state, .. } => state.as_ref().map_or(0, payload),
                Answer::Outcome(outcome) => outcome.body.payload_bytes(),
                Answer::NotTaken { code, message, .. } => code.len() + message.len(),
                Answer::Gap { .. } | Answer::Superseded { .. } => 0,
            }
    }
}

/// A message from one process to another, apart from commits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Nudge {
    /// To a gateway: the session was attached elsewhere, with this generation; an older socket goes.
    #[serde(rename = "taken_over")]
    TakenOver {
        /// The session.
        sid: Sid,
        /// The generation of the newer socket.
        #[serde(rename = "gen")]
        generation: u64,
    },
    /// To a gateway: the session is over; its socket goes.
    #[serde(rename = "over")]
    Over {
        /// The session.
        sid: Sid,
    },
    /// To everybody: a lease was given up and can be claimed at once.
    #[serde(rename = "released")]
    Released,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_shows_null_shows_something() {
        for state in [None, Some(Payload::null())] {
            let seated = Answer::Seated {
                generation: 1,
                member: Some(1),
                n: 1,
                pos: Pos::START,
                joined: None,
                state,
            };
            let written = serde_json::to_string(&seated).unwrap();
            assert_eq!(
                serde_json::from_str::<Answer>(&written).unwrap(),
                seated,
                "{written}"
            );
        }
    }
}
