use std::{fmt::Write, time::Duration};

use serde_json::Value;

/// Everything that one client sent and was sent, socket by socket.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    pub(crate) who: String,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Since the round began.
    pub(crate) at: Duration,
    /// 0, 1, 2 … in the order in which they were dialled.
    pub(crate) socket: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Out(Value),
    In(Value),
    Closed(String),
    /// A note of what the application did, or was told.
    Note(String),
}

impl History {
    pub(crate) fn of(who: String) -> History {
        History {
            who,
            lines: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, at: Duration, socket: u64, what: What) {
        self.lines.push(Line { at, socket, what });
    }

    /// For people: a line each, and no more of a frame than helps.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.who);
        for Line { at, socket, what } in &self.lines {
            let (mark, what) = match what {
                What::Out(frame) => ("→", frame.to_string()),
                What::In(frame) => ("←", frame.to_string()),
                What::Closed(why) => ("×", why.clone()),
                What::Note(note) => ("·", note.clone()),
            };
            let what: String = what.chars().take(400).collect();
            writeln!(text, "{:9.3} {socket:3} {mark} {what}", at.as_secs_f64()).ok();
        }
        text
    }
}
