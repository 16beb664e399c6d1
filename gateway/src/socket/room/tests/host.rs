use outlast_protocol::{Payload, Pos};
use outlast_store::{Answer, Body, Entry, LogSlice, Outcome, OutcomeBody, Request};

use super::ME;

/// The room as its worker runs it, and its log.
pub(super) struct Host {
    pub(super) log: Vec<Entry>,
    pub(super) tag: u64,
    pub(super) generation: u64,
    pub(super) n: u64,
    pub(super) settled_off: u64,
    pub(super) joined: Option<Pos>,
    pub(super) kept: Vec<Outcome>,
    pub(super) gap_told: bool,
    /// True if who comes and goes leaves no entry.
    pub(super) mute: bool,
}

impl Host {
    pub(super) fn end(&self) -> Pos {
        self.log.last().map_or(Pos::START, |entry| entry.pos)
    }

    fn write(&mut self, body: Body) {
        self.tag += 1;
        let (off, tag) = (self.end().off + 1, self.tag);
        let pos = Pos { off, tag };
        self.log.push(Entry { pos, at: 0, body });
    }

    pub(super) fn event(&mut self, by: Option<u32>, n: Option<u64>, quiet: bool) {
        let data = Payload::null();
        self.write(Body::Event { by, n, quiet, data });
    }

    fn keep(&mut self, n: u64, body: OutcomeBody) -> Option<Answer> {
        let pos = self.end();
        self.kept.push(Outcome { n, pos, body });
        self.kept.last().cloned().map(Answer::Outcome)
    }

    pub(super) fn seated(&self, view: bool) -> Answer {
        Answer::Seated {
            generation: self.generation,
            member: self.joined.map(|_| ME),
            n: self.n,
            pos: self.end(),
            joined: self.joined,
            state: (view && self.joined.is_some()).then(Payload::null),
        }
    }

    fn joined(&self, n: u64) -> Answer {
        Answer::Joined {
            n,
            applied: self.n,
            member: ME,
            pos: self.end(),
            state: Payload::null(),
        }
    }

    pub(super) fn take(&mut self, generation: u64, request: &Request) -> Option<Answer> {
        if generation < self.generation {
            return None;
        }
        if generation > self.generation {
            self.gap_told = false;
        }
        self.generation = generation;
        let n = match request {
            Request::Join { n, .. } | Request::Act { n, .. } | Request::Leave { n } => *n,
            Request::Attached { view } => return Some(self.seated(*view)),
            Request::View => return Some(self.seated(true)),
            _ => return self.joined.is_none().then(|| self.seated(false)),
        };
        if n > self.n + 1 {
            let expect = self.n + 1;
            return (!std::mem::replace(&mut self.gap_told, true))
                .then_some(Answer::Gap { expect });
        }
        if n <= self.n {
            return self.repeat(n, request);
        }
        (self.n, self.gap_told) = (n, false);
        match (request, self.joined) {
            (Request::Join { .. }, Some(_)) => Some(self.joined(n)),
            (Request::Join { .. }, None) => {
                if !self.mute {
                    self.event(Some(ME), Some(n), true);
                }
                self.joined = Some(self.end());
                self.kept.clear();
                Some(self.joined(n))
            }
            (Request::Leave { .. }, joined) => {
                if joined.is_some() && !self.mute {
                    self.event(Some(ME), Some(n), true);
                }
                self.joined = None;
                self.keep(
                    n,
                    OutcomeBody::Left {
                        reason: "left".to_owned(),
                    },
                )
            }
            (_, Some(_)) => {
                self.event(Some(ME), Some(n), false);
                None
            }
            (_, None) => {
                self.write(refused(n));
                self.keep(
                    n,
                    OutcomeBody::Refused {
                        code: "not_joined".to_owned(),
                        message: String::new(),
                    },
                )
            }
        }
    }

    fn repeat(&mut self, n: u64, request: &Request) -> Option<Answer> {
        let joins = matches!(request, Request::Join { .. });
        if self.joined.is_some() {
            return joins.then(|| self.joined(n));
        }
        let kept = self.kept.iter().find(|outcome| outcome.n == n).cloned();
        let last = || {
            self.kept
                .last()
                .filter(|_| !matches!(request, Request::Act { .. }))
                .cloned()
        };
        let stands = |entry: &&Entry| entry.body.settles(ME) == Some(n);
        let pos = self.log.iter().rfind(stands).map(|entry| entry.pos);
        let logged = || {
            Some(Outcome {
                n,
                pos: pos?,
                body: OutcomeBody::Done { data: None },
            })
        };
        let outcome = kept.or_else(last).or_else(logged).unwrap_or(Outcome {
            n,
            pos: self.end(),
            body: OutcomeBody::Refused {
                code: "unknown".to_owned(),
                message: String::new(),
            },
        });
        Some(Answer::Outcome(outcome))
    }

    pub(super) fn read(&self, from: u64, max: usize) -> LogSlice {
        let entries = self.log.iter().filter(|entry| entry.pos.off >= from);
        LogSlice {
            entries: entries.take(max).cloned().collect(),
            first_off: u64::from(!self.log.is_empty()),
            last: self.end(),
        }
    }
}

fn refused(n: u64) -> Body {
    Body::Result {
        to: ME,
        n,
        ok: false,
        data: None,
        code: Some("not_joined".to_owned()),
        message: None,
        kept: None,
    }
}
