//! A feed between a log that has accidents and readers who pull only when they are woken.

use std::collections::HashMap;

use outlast_store::Body;
use proptest::{collection::vec, prelude::*};

use super::*;

const MEMBERS: u32 = 3;

/// A room's log in a store that trims, and may lose what it had acknowledged.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// What stood before the first entry that is left.
    trimmed: Pos,
    tag: u64,
    /// Each entry that ever was, by the position before it.
    after: HashMap<Pos, Entry>,
    parents: HashMap<Pos, Pos>,
}

impl Log {
    fn end(&self) -> Pos {
        self.entries.last().map_or(self.trimmed, |entry| entry.pos)
    }

    /// One commit; each number decides whom an entry is for.
    fn commit(&mut self, kinds: &[u32]) -> Vec<Entry> {
        self.tag += 1;
        let written: Vec<_> = kinds.iter().map(|kind| self.write(*kind)).collect();
        written
    }

    fn write(&mut self, kind: u32) -> Entry {
        let data = Payload::null();
        let body = match kind % (2 * MEMBERS + 2) {
            to @ 1..=MEMBERS => Body::Notice { to, data },
            by if by > MEMBERS + 1 => Body::Event {
                by: Some(by - MEMBERS - 1),
                n: Some(1),
                quiet: true,
                data,
            },
            _ => Body::Event {
                by: None,
                n: None,
                quiet: false,
                data,
            },
        };
        let parent = self.end();
        let pos = Pos {
            off: parent.off + 1,
            tag: self.tag,
        };
        let entry = Entry { pos, at: 0, body };
        self.parents.insert(pos, parent);
        self.after.insert(pos, entry.clone());
        self.entries.push(entry.clone());
        entry
    }

    fn trim(&mut self, count: usize) {
        let count = count.min(self.entries.len().saturating_sub(1));
        for entry in self.entries.drain(..count) {
            self.trimmed = entry.pos;
        }
    }

    fn lose(&mut self, count: usize) {
        let left = self.entries.len().saturating_sub(count);
        self.entries.truncate(left);
        if self.entries.is_empty() {
            self.trimmed = Pos::START;
        }
    }

    /// The positions up to one, the newest first.
    fn history(&self, end: Pos) -> impl Iterator<Item = Pos> {
        std::iter::successors(Some(end), |pos| self.parents.get(pos).copied())
    }

    fn read(&self, from: u64, max: usize) -> LogSlice {
        let entries = self.entries.iter().filter(|entry| entry.pos.off >= from);
        LogSlice {
            entries: entries.take(max).cloned().collect(),
            first_off: self.entries.first().map_or(0, |entry| entry.pos.off),
            last: self.entries.last().map_or(Pos::START, |entry| entry.pos),
        }
    }
}

struct Reader {
    member: u32,
    cursor: Cursor,
    woken: bool,
    waiting: bool,
    resuming: Option<Resuming>,
}

/// A session that has come back, and is not told yet how it stands.
#[derive(Clone, Copy)]
enum Resuming {
    /// The room has been asked.
    Asked,
    /// The room has answered: this was its last entry.
    Seated(Pos),
}

/// What is on its way to the feed.
enum Heard {
    News(Pos, Vec<Entry>),
    /// A room's answer to a reader that has come back.
    Seated(usize, Pos),
    /// The connection was lost, and is back.
    Missed,
}

/// A read that the store has answered; the answer is still on its way.
enum Answer {
    Refresh(Pos, LogSlice),
    LogSlice(u64, u64, LogSlice),
}

struct World {
    log: Log,
    core: Core,
    readers: Vec<Reader>,
    /// The highest `off` that was ever trimmed.
    trimmed_to: u64,
    announced: VecDeque<Heard>,
    /// Announcements that come before [`Heard::Missed`].
    missed_after: Option<usize>,
    asked: VecDeque<LogRead>,
    answers: VecDeque<Answer>,
}

#[derive(Debug, Clone)]
enum Op {
    Commit(Vec<u32>),
    /// The next announcement arrives, or is lost.
    Hear,
    Miss,
    /// The store answers a read; its answer arrives.
    Answer,
    Arrive,
    Pull(usize, usize),
    Age,
    Trim(usize),
    /// So many entries are lost, and so many announcements of what follows are heard before it is said
    /// that some may have been missed.
    Lose(usize, usize),
    /// A reader comes back to a position that is somewhat older.
    Return(usize, usize),
    /// A reader comes back with a new socket.
    Resume(usize, usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let member = 0..MEMBERS as usize;
    let op = prop_oneof![
        8 => vec(any::<u32>(), 1..12).prop_map(Op::Commit),
        1 => vec(any::<u32>(), 100..400).prop_map(Op::Commit),
        6 => Just(Op::Hear),
        2 => Just(Op::Miss),
        6 => Just(Op::Answer),
        6 => Just(Op::Arrive),
        10 => (member.clone(), 0..40usize).prop_map(|(reader, max)| Op::Pull(reader, max)),
        1 => Just(Op::Age),
        1 => (1..300usize).prop_map(Op::Trim),
        1 => (1..20usize, 0..4usize).prop_map(|(count, later)| Op::Lose(count, later)),
        2 => (member.clone(), 1..200usize).prop_map(|(reader, back)| Op::Return(reader, back)),
        2 => (member, 0..20usize).prop_map(|(reader, back)| Op::Resume(reader, back)),
    ];
    vec(op, 1..150)
}

impl World {
    fn new(before: &[u32]) -> Self {
        let mut log = Log::default();
        log.commit(before);
        let mut core = Core::new(50);
        core.seed(log.end());
        let reader = |member| Reader {
            member,
            cursor: Cursor::new(log.end()),
            woken: true,
            waiting: false,
            resuming: None,
        };
        let readers = (1..=MEMBERS).map(reader).collect();
        let (announced, asked, answers) = Default::default();
        World {
            log,
            core,
            readers,
            trimmed_to: 0,
            announced,
            missed_after: None,
            asked,
            answers,
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Commit(kinds) => {
                let prev = self.log.end();
                let entries = self.log.commit(&kinds);
                self.announced.push_back(Heard::News(prev, entries));
            }
            Op::Hear => match self.announced.pop_front() {
                None => {}
                Some(Heard::News(prev, entries)) => {
                    let wakes = self.core.announce(prev, entries, Vec::new());
                    self.wake(wakes);
                }
                Some(Heard::Seated(reader, pos)) => {
                    self.readers[reader].resuming = Some(Resuming::Seated(pos));
                    self.readers[reader].woken = true;
                }
                Some(Heard::Missed) => drop(self.core.refresh()),
            },
            Op::Miss => {
                if let Some(Heard::News(..)) = self.announced.front() {
                    self.announced.pop_front();
                }
            }
            Op::Answer => self.answer(),
            Op::Arrive => self.arrive(),
            Op::Pull(reader, max) => self.pull(reader, max),
            Op::Age => {
                let wakes = self.core.age();
                self.wake(wakes);
            }
            Op::Trim(count) => {
                self.log.trim(count);
                self.trimmed_to = self.trimmed_to.max(self.log.trimmed.off);
            }
            Op::Lose(count, later) => {
                self.log.lose(count);
                self.announced.clear();
                // Who was not answered asks again.
                let end = self.log.end();
                for (number, reader) in self.readers.iter().enumerate() {
                    if let Some(Resuming::Asked) = reader.resuming {
                        self.announced.push_back(Heard::Seated(number, end));
                    }
                }
                self.missed_after = Some(later);
            }
            Op::Return(reader, back) => {
                self.step_back(reader, back);
                self.readers[reader].woken = true;
            }
            Op::Resume(reader, back) if self.readers[reader].resuming.is_none() => {
                self.step_back(reader, back);
                self.readers[reader].resuming = Some(Resuming::Asked);
                let end = self.log.end();
                self.announced.push_back(Heard::Seated(reader, end));
            }
            Op::Resume(..) => {}
        }
        if self
            .missed_after
            .is_some_and(|later| self.announced.len() >= later)
        {
            self.missed_after = None;
            self.announced.push_back(Heard::Missed);
        }
        while let Some(read) = self.core.poll_read() {
            self.asked.push_back(read);
        }
    }

    fn step_back(&mut self, reader: usize, back: usize) {
        let reader = &mut self.readers[reader];
        for _ in 0..back {
            let parent = self.log.parents.get(&reader.cursor.pos);
            reader.cursor = Cursor::new(parent.copied().unwrap_or(reader.cursor.pos));
        }
    }

    fn answer(&mut self) {
        let Some(read) = self.asked.pop_front() else {
            return;
        };
        self.answers.push_back(match read {
            LogRead::Refresh => {
                let from = self.core.head();
                Answer::Refresh(from, self.log.read(from.off.max(1), REFRESH_MAX))
            }
            LogRead::LogSlice { number, refreshes } => {
                let (from, max) = Segment::range(number);
                Answer::LogSlice(number, refreshes, self.log.read(from, max))
            }
        });
    }

    fn arrive(&mut self) {
        match self.answers.pop_front() {
            None => {}
            Some(Answer::Refresh(from, read)) => {
                let absorbed = self.core.absorb(from, read);
                self.wake(Wakes::Everybody);
                match absorbed {
                    Absorbed::More => self.asked.push_back(LogRead::Refresh),
                    Absorbed::Done => self.wake_waiting(),
                }
            }
            Some(Answer::LogSlice(number, refreshes, read)) => {
                self.core.insert(number, refreshes, read);
                self.wake_waiting();
            }
        }
    }

    fn wake(&mut self, wakes: Wakes) {
        match wakes {
            Wakes::Everybody => self
                .readers
                .iter_mut()
                .for_each(|reader| reader.woken = true),
            Wakes::Members(members) => {
                for reader in &mut self.readers {
                    reader.woken |= members.contains(&reader.member);
                }
            }
        }
    }

    fn wake_waiting(&mut self) {
        for reader in &mut self.readers {
            reader.woken |= std::mem::take(&mut reader.waiting);
        }
    }

    /// A reader that was woken takes up to `max` entries, and checks each.
    fn pull(&mut self, reader: usize, mut max: usize) {
        let reader = &mut self.readers[reader];
        if !reader.woken {
            return;
        }
        let (member, log) = (reader.member, &self.log);
        let mut at = reader.cursor.pos;
        let pulled = match reader.resuming {
            Some(Resuming::Asked) => return,
            Some(Resuming::Seated(end)) => {
                let checked = self.core.check(&mut reader.cursor, end);
                if let Pulled::End | Pulled::More = checked {
                    let holds = |end| log.history(end).any(|pos| pos == at);
                    assert!(
                        holds(end) || holds(log.end()),
                        "member {member} may go on from {at}, and the log ended at {end}"
                    );
                }
                if checked != Pulled::Wait {
                    reader.resuming = None;
                }
                if checked == Pulled::End {
                    Pulled::More
                } else {
                    checked
                }
            }
            None => self.core.pull(&mut reader.cursor, |item| {
                let pos = item.entry.pos;
                assert_eq!(
                    log.parents[&pos], at,
                    "member {member} is given {pos} after {at}"
                );
                assert_eq!(log.after[&pos], item.entry);
                if max == 0 {
                    return false;
                }
                max -= usize::from(item.entry.body.is_for(member));
                at = pos;
                true
            }),
        };
        assert_eq!(reader.cursor.pos, at);
        match pulled {
            Pulled::End => reader.woken = false,
            Pulled::More => {}
            Pulled::Wait => {
                reader.woken = false;
                reader.waiting = true;
            }
            Pulled::Lost(reason) => {
                let held = log.entries.iter().any(|entry| entry.pos == at);
                let whole = at == Pos::START && log.trimmed == Pos::START;
                // A log that was trimmed may have been lost altogether since.
                let trimmed = reason == SnapshotReason::Trimmed && self.trimmed_to >= at.off;
                assert!(
                    trimmed || !(held || whole),
                    "{at} is there, and said to be {reason:?}"
                );
                reader.cursor = Cursor::new(log.end());
            }
        }
    }

    /// What was lost is noticed, and everything comes to rest.
    fn settle(&mut self) {
        self.core.refresh();
        self.announced.clear();
        let end = self.log.end();
        for reader in &mut self.readers {
            if let Some(Resuming::Asked) = reader.resuming {
                reader.resuming = Some(Resuming::Seated(end));
                reader.woken = true;
            }
        }
        for _ in 0..1_000 {
            self.run(Op::Answer);
            self.run(Op::Arrive);
            (0..self.readers.len()).for_each(|reader| self.run(Op::Pull(reader, 70)));
            let resting = self.readers.iter().all(|reader| !reader.woken);
            if resting && self.asked.is_empty() && self.answers.is_empty() {
                break;
            }
        }
        for Reader {
            member,
            cursor,
            woken,
            waiting,
            resuming,
        } in &self.readers
        {
            let rests = !woken && !waiting && resuming.is_none();
            assert!(rests, "member {member} does not come to rest");
            let mut at = self.log.end();
            while at != cursor.pos && at.off > cursor.pos.off {
                let entry = &self.log.after[&at];
                assert!(
                    !entry.body.is_for(*member),
                    "member {member} at {} misses {at}",
                    cursor.pos
                );
                at = self.log.parents[&at];
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever is lost, late, repeated or read too early: a member is given exactly what follows its
    /// place, in order and once, or told that its place is gone, which is true then.
    #[test]
    fn r2_e1_r4_everybody_is_given_the_log_from_where_it_stands(
        before in vec(any::<u32>(), 0..100),
        ops in ops(),
    ) {
        let mut world = World::new(&before);
        for op in ops {
            world.run(op);
        }
        world.settle();
    }
}

mod histories;
