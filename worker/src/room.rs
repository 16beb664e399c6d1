use std::borrow::Cow;

use outlast_protocol::{Member, Pos};
use serde::{Serialize, de::DeserializeOwned};

use crate::Cx;

/// A kind of room: what its members can do, and what becomes of it.
///
/// A room is a value that changes only by its own events. [`handle`](Room::handle) decides: it looks at
/// the room and at what somebody asks, and emits events or refuses. [`apply`](Room::apply) folds one
/// event in. Events are stored before anybody is told of them, so a room that is folded again from its
/// log, on another machine, is the same room; `Self` is the state, and is written down as a snapshot
/// now and then.
///
/// All three are pure: time and chance come from [`Cx`] alone, never from the system, and nothing else
/// is read or written. Whatever panics costs the action that caused it, and nothing more.
///
/// ```
/// use outlast_worker::{At, Cx, Input, Member, Refusal, Room};
/// use serde::{Deserialize, Serialize};
///
/// /// A counter that everybody may push.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter {
///     count: u64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Pushed {
///     by: u64,
/// }
///
/// impl Room for Counter {
///     const KIND: &'static str = "counter";
///     type Join = ();
///     type Action = u64;
///     type Event = Pushed;
///
///     fn handle(&self, input: Input<(), u64>, cx: &mut Cx<Pushed>) -> Result<(), Refusal> {
///         if let Input::Act { action: by, .. } = input {
///             if by == 0 {
///                 return Err(Refusal::new("too_gentle", "push by 1 or more"));
///             }
///             cx.emit(Pushed { by });
///         }
///         Ok(())
///     }
///
///     fn apply(&mut self, pushed: Pushed, _at: At) {
///         self.count += pushed.by;
///     }
///
///     fn view(&self, _viewer: Member) -> impl Serialize {
///         self
///     }
/// }
/// ```
pub trait Room: Default + Serialize + DeserializeOwned + Send + 'static {
    /// The part before the `/` in the names of such rooms: some of `[a-z0-9._-]`.
    const KIND: &'static str;

    /// The version of the state and the events. A room reads what an older version of it wrote, by
    /// defaults for what is new; it raises this number when older versions could not read what it
    /// writes from now on, and they leave such rooms alone.
    const VERSION: u32 = 1;

    /// The data that a client sends along with its join; `null` when it sends none.
    type Join: DeserializeOwned;

    /// The actions of a member.
    type Action: DeserializeOwned;

    /// The events of the room.
    type Event: Serialize + DeserializeOwned;

    /// Decides what an input leads to: events, or a refusal, which changes nothing.
    ///
    /// `Join`, `Act` and `Leave` can be refused. What merely happened cannot: a refusal of `Detached`,
    /// `Attached`, `Wake` or of the `Leave` of a session that is over is noted and has no effect.
    fn handle(
        &self,
        input: Input<Self::Join, Self::Action>,
        cx: &mut Cx<'_, Self::Event>,
    ) -> Result<(), Refusal>;

    /// Decides what something leads to that was posted over HTTP, by a backend that is in no room: `user` is
    /// who its token names. The default is to refuse.
    fn post(
        &self,
        user: String,
        action: Self::Action,
        cx: &mut Cx<'_, Self::Event>,
    ) -> Result<(), Refusal> {
        let _ = (user, action, cx);
        Err(Refusal::new(
            "no_posts",
            "only members can ask something of this room",
        ))
    }

    /// Decides what the report of a process of the fleet leads to. Only the bundled room that shows the fleet
    /// is sent any (B4); the default is to refuse.
    fn report(&self, report: Self::Action, cx: &mut Cx<'_, Self::Event>) -> Result<(), Refusal> {
        let _ = (report, cx);
        Err(Refusal::new("no_reports", "this room hears no reports"))
    }

    /// Folds in an event that has happened.
    fn apply(&mut self, event: Self::Event, at: At);

    /// Returns the view for a member that joins, or has missed too much. Member 0 is nobody: it stands
    /// for a backend that looks at the room over HTTP.
    fn view(&self, viewer: Member) -> impl Serialize;

    /// When the room wants to be woken next, in milliseconds since the epoch on the room's clock; asked
    /// after every change. None, the default, is never.
    ///
    /// It is a function of the state, and kept by the store: whichever worker runs the room then wakes
    /// it, also where nobody is in the room or has spoken to it since (W8). [`Input::Wake`] comes never
    /// early and once, however late it is: a room that wants to make up for what it missed asks
    /// [`Cx::now_ms`]. It comes again for as long as this says a time that has passed, but no sooner
    /// than after 10 ms, or a second where nobody is in the room: a room that has nothing to do then
    /// says None, and costs nothing.
    fn wake_at_ms(&self) -> Option<u64> {
        None
    }
}

/// An input of a room. `J` is what its clients join with, `A` what they can ask.
///
/// A session keeps its member number for its whole life, also when it leaves and comes back.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<J, A> {
    /// A session asks to become a member.
    Join {
        /// The number that it has in the room from now on.
        member: Member,
        /// The user that its token names.
        user: String,
        /// The data of its join.
        data: J,
    },
    /// A member leaves, or its session is over.
    Leave {
        /// Which member.
        member: Member,
        /// `left` when it asked to; `ended` or `expired` when its session is over.
        reason: String,
    },
    /// A member has lost its connection and did not come back within the grace.
    Detached {
        /// Which member.
        member: Member,
    },
    /// A member that was detached is back.
    Attached {
        /// Which member.
        member: Member,
    },
    /// A member asks for something.
    Act {
        /// Which member.
        member: Member,
        /// The action that it asks for.
        action: A,
    },
    /// The time has come that [`Room::wake_at_ms`] named.
    Wake,
}

/// Where and when an event happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The event's place in the log.
    pub pos: Pos,
    /// The room's clock, in milliseconds since the epoch; it never goes back.
    pub at_ms: u64,
    /// The member whose action caused it, or that left.
    pub by: Option<Member>,
}

/// Why a room does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Why, for programs.
    pub code: Cow<'static, str>,
    /// Why, and what would do, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with a code for programs and a message for people.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Refusal {
            code: code.into(),
            message: message.into(),
        }
    }
}
