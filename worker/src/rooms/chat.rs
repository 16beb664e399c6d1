//! `chat/NAME`: people who write to each other (B1).

use std::collections::{BTreeMap, VecDeque};

use outlast_protocol::Pos;
use serde::{Deserialize, Serialize};

use super::name::{NAME_MAX, check_name};
use crate::{At, Cx, Input, Member, Refusal, Room};

#[cfg(test)]
mod tests;

/// The longest text, in characters.
const TEXT_MAX: usize = 2_000;
/// The number of newest messages that are shown to a member who joins …
const MESSAGES_MAX: usize = 50;
/// … and how much text they may hold together, in bytes.
const MESSAGES_BYTES_MAX: usize = 32 * 1024;

/// The members of a chat, and what was said last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Chat {
    members: BTreeMap<Member, Person>,
    messages: VecDeque<Message>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Person {
    name: String,
    online: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    pos: Pos,
    /// The member who said it; 0 for a backend.
    member: Member,
    /// The member's name when it said this.
    name: String,
    text: String,
    at_ms: u64,
}

/// The data of a join.
#[derive(Debug, Deserialize)]
pub struct Join {
    name: String,
}

/// The actions of a member.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Say something to everybody.
    Say(String),
    /// Let the others know that something is being written, or no longer is.
    Typing(bool),
}

/// The events of a chat.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody came in.
    Entered {
        /// The member that came in.
        member: Member,
        /// Its name.
        name: String,
    },
    /// Somebody is no longer there.
    Left {
        /// The member that is gone.
        member: Member,
        /// `left`, `ended` or `expired`.
        reason: String,
    },
    /// A member has lost its connection.
    Away(Member),
    /// It is back.
    Back(Member),
    /// A member said this.
    Said(String),
    /// A backend said this.
    Posted {
        /// The user that its token names.
        name: String,
        /// The text of the message.
        text: String,
    },
}

#[derive(Serialize)]
struct View<'a> {
    members: Vec<Present<'a>>,
    messages: &'a VecDeque<Message>,
}

#[derive(Serialize)]
struct Present<'a> {
    member: Member,
    #[serde(flatten)]
    person: &'a Person,
}

#[derive(Serialize)]
struct Typing {
    typing: Member,
    on: bool,
}

impl Room for Chat {
    const KIND: &'static str = "chat";
    type Join = Join;
    type Action = Action;
    type Event = Event;

    fn handle(&self, input: Input<Join, Action>, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        match input {
            Input::Join {
                member,
                data: Join { name },
                ..
            } => {
                check_name(&name)?;
                cx.emit(Event::Entered { member, name });
            }
            Input::Leave { member, reason } => cx.emit(Event::Left { member, reason }),
            Input::Detached { member } => cx.emit(Event::Away(member)),
            Input::Attached { member } => cx.emit(Event::Back(member)),
            Input::Act { member, action } => match action {
                Action::Say(text) => {
                    check_text(&text)?;
                    cx.emit(Event::Said(text));
                }
                Action::Typing(on) => cx.signal(Typing { typing: member, on }),
            },
            Input::Wake => {}
        }
        Ok(())
    }

    fn post(&self, user: String, action: Action, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        match action {
            Action::Say(text) => {
                check_text(&text)?;
                let name = user.chars().take(NAME_MAX).collect();
                cx.emit(Event::Posted { name, text });
                Ok(())
            }
            Action::Typing(_) => Err(Refusal::new("bad_action", "a backend can only `say`")),
        }
    }

    fn apply(&mut self, event: Event, at: At) {
        match event {
            Event::Entered { member, name } => {
                self.members.insert(member, Person { name, online: true });
            }
            Event::Left { member, .. } => {
                self.members.remove(&member);
            }
            Event::Away(member) => self.set_online(member, false),
            Event::Back(member) => self.set_online(member, true),
            Event::Said(text) => {
                let person = at.by.and_then(|by| Some((by, self.members.get(&by)?)));
                if let Some((member, Person { name, .. })) = person {
                    let name = name.clone();
                    self.said(member, name, text, at);
                }
            }
            Event::Posted { name, text } => self.said(0, name, text, at),
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        let present = |(member, person)| Present { member, person };
        let members = self
            .members
            .iter()
            .map(|(member, person)| (*member, person));
        View {
            members: members.map(present).collect(),
            messages: &self.messages,
        }
    }
}

impl Chat {
    fn set_online(&mut self, member: Member, online: bool) {
        if let Some(person) = self.members.get_mut(&member) {
            person.online = online;
        }
    }

    fn said(&mut self, member: Member, name: String, text: String, at: At) {
        self.messages.push_back(Message {
            pos: at.pos,
            member,
            name,
            text,
            at_ms: at.at_ms,
        });
        let mut bytes: usize = self.messages.iter().map(|message| message.text.len()).sum();
        while self.messages.len() > MESSAGES_MAX || bytes > MESSAGES_BYTES_MAX {
            bytes -= self
                .messages
                .pop_front()
                .map_or(bytes, |message| message.text.len());
        }
    }
}

fn check_text(text: &str) -> Result<(), Refusal> {
    let length = text.chars().count();
    if !(1..=TEXT_MAX).contains(&length) {
        let message = format!("a message has 1 to {TEXT_MAX} characters, not {length}");
        return Err(Refusal::new("bad_text", message));
    }
    Ok(())
}
