use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use outlast_protocol::{Pos, RoomName, Sid};
use outlast_store::{
    Answer, Commit, Cursor, Entry, Input, NoteChange, PartitionId, Request, RoomCommit, RoomLoad,
    Seat, TopicEntry, TopicId,
};

use super::lab::Lab;
pub(super) use super::speech::{
    Asked, answers, entries, event, input, input_in, ok, payload, quiet, refused, request, sid,
};
use crate::{
    Registry, WorkerSettings,
    host::Loaded,
    partition::{Effect, Partition, Trials, UNREAD_MAX, WAKES_MAX},
    watch::Watch,
};

pub(super) const ROOM: &str = "lab/one";

/// A partition without IO: a topic and a shelf of rooms that commits are put on.
pub(super) struct Bench {
    pub(super) shelf: Shelf,
    pub(super) core: Partition,
    pub(super) registry: Registry,
    pub(super) settings: WorkerSettings,
    pub(super) now_ms: u64,
    pub(super) loads: usize,
    /// The room whose loading the holder dies of, until it has.
    deadly: Option<RoomName>,
    topic: Vec<TopicEntry>,
    entropy: u64,
    n: HashMap<(Sid, RoomName), u64>,
}

/// The contents of a store, in memory.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) cursor: Cursor,
    pub(super) rooms: BTreeMap<RoomName, OnShelf>,
    pub(super) unread: Vec<Result<Input, String>>,
    pub(super) commits: Vec<Commit>,
    pub(super) notes: BTreeMap<String, String>,
    /// Set where holders before may have died of something.
    pub(super) careful_until_ms: Option<u64>,
}

#[derive(Clone, Default)]
pub(super) struct OnShelf {
    pub(super) log: Vec<Entry>,
    pub(super) load: RoomLoad,
    pub(super) wake_ms: Option<u64>,
    pub(super) ttl_ms: Option<u64>,
    /// Something in it cannot be read.
    pub(super) unreadable: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(WorkerSettings::default())
    }

    pub(super) fn with(settings: WorkerSettings) -> Self {
        Self::of(Registry::new().with::<Lab>(), settings)
    }

    /// One whose rooms are looked at now and then (S10), as others are not here.
    pub(super) fn audited(audit_ms: u64) -> Self {
        let mut bench = Bench::new();
        bench.settings.audit_ms = Some(audit_ms);
        bench.crash();
        bench
    }

    pub(super) fn of(registry: Registry, settings: WorkerSettings) -> Self {
        let settings = WorkerSettings {
            audit_ms: None,
            ..settings
        };
        let shelf = Shelf::default();
        Bench {
            core: open(&shelf, &registry, &settings),
            shelf,
            registry,
            settings,
            now_ms: 1_000_000,
            loads: 0,
            deadly: None,
            topic: Vec::new(),
            entropy: 0,
            n: HashMap::new(),
        }
    }

    /// Drops what is in memory, and starts again from what was committed.
    pub(super) fn crash(&mut self) {
        self.core = open(&self.shelf, &self.registry, &self.settings);
    }

    /// Appends an input to the topic.
    pub(super) fn append(&mut self, input: Input) {
        self.append_raw(Ok(input));
    }

    pub(super) fn append_raw(&mut self, input: Result<Input, String>) {
        let seq = self.topic.len() as u64;
        let ms = self.now_ms;
        let id = TopicId { ms, seq };
        self.topic.push(TopicEntry { id, input });
    }

    /// Appends the next action of a session.
    pub(super) fn post(&mut self, session: u64, asked: Asked) {
        self.post_in(ROOM, session, asked);
    }

    pub(super) fn post_in(&mut self, room: &str, session: u64, asked: Asked) {
        let key = (sid(session), room.parse().unwrap());
        let n = self.n.entry(key).or_default();
        *n += 1;
        let n = *n;
        self.append(input_in(room, session, 1, request(n, asked)));
    }

    /// Does the next action of a session, in a batch of its own.
    pub(super) fn do_(&mut self, session: u64, asked: Asked) -> Commit {
        self.post(session, asked);
        self.batch().expect("there was something to do")
    }

    /// Says something else about a session, in a batch of its own.
    pub(super) fn tell(&mut self, session: u64, generation: u64, request: Request) -> Commit {
        self.append(input(session, generation, request));
        self.batch().expect("there was something to do")
    }

    /// Runs a batch of everything in the topic. The commit is on the shelf when this returns.
    pub(super) fn batch(&mut self) -> Option<Commit> {
        let commit = self.batch_of(usize::MAX)?;
        self.shelf.commit(&commit);
        Some(commit)
    }

    /// Runs a batch of up to `max` entries, without committing what comes of it.
    pub(super) fn batch_of(&mut self, max: usize) -> Option<Commit> {
        let after = self.core.read_after();
        let ahead = self.topic.iter().filter(|entry| entry.id > after);
        let entries = match self.core.is_behind() {
            true => Vec::new(),
            false => ahead.take(max).cloned().collect(),
        };
        self.entropy += 1;
        self.core.begin(entries, self.now_ms, self.entropy);
        loop {
            match self.core.advance() {
                Effect::Load(rooms) => {
                    for room in rooms {
                        self.loads += 1;
                        let runs = self.core.quarantined(&room).is_none();
                        if runs && self.deadly.take_if(|deadly| *deadly == room).is_some() {
                            return None;
                        }
                        let loaded = match self.core.quarantined(&room).map(str::to_owned) {
                            Some(reason) => self.shelf.load_stopped(&room, reason),
                            None => self.shelf.load(&room),
                        };
                        self.core.loaded(room, loaded, self.now_ms);
                    }
                }
                Effect::Note(changes) => self.shelf.note(changes),
                Effect::Wakes => self.core.wakes_read(self.shelf.wakes()),
                Effect::Unread => self.core.unread_read(self.shelf.unread_first()),
                Effect::ReadLog(room) => {
                    let on_shelf = self.shelf.rooms.get(&room).cloned().unwrap_or_default();
                    self.core.log_read(on_shelf.log);
                }
                Effect::Commit(commit) => return Some(*commit),
                Effect::Nothing => return None,
            }
        }
    }

    /// The holder notes something so many times, and dies of what it does next; another one takes over.
    pub(super) fn dies_after_notes(&mut self, notes: usize) {
        let mut noted = 0;
        while noted < notes {
            let after = self.core.read_after();
            let ahead = self.topic.iter().filter(|entry| entry.id > after);
            let entries = match self.core.is_behind() {
                true => Vec::new(),
                false => ahead.cloned().collect(),
            };
            self.entropy += 1;
            self.core.begin(entries, self.now_ms, self.entropy);
            loop {
                match self.core.advance() {
                    Effect::Note(changes) => {
                        self.shelf.note(changes);
                        noted += 1;
                        if noted == notes {
                            break;
                        }
                    }
                    Effect::Load(rooms) => {
                        for room in rooms {
                            let loaded = self.shelf.load(&room);
                            self.core.loaded(room, loaded, self.now_ms);
                        }
                    }
                    Effect::Wakes => self.core.wakes_read(self.shelf.wakes()),
                    Effect::Unread => self.core.unread_read(self.shelf.unread_first()),
                    Effect::ReadLog(_) => self.core.log_read(Vec::new()),
                    Effect::Commit(commit) => {
                        self.shelf.commit(&commit);
                        break;
                    }
                    Effect::Nothing => panic!("nothing more is noted than {noted}"),
                }
            }
        }
        self.shelf.careful_until_ms = Some(0);
        self.crash();
    }

    /// Runs batches as [`Bench::batches`] does; where a room is loaded as one that runs the holder dies, and another one
    /// takes over. Returns whether it came to that, too.
    pub(super) fn batches_until_loaded(&mut self, deadly: &str) -> (Vec<Commit>, bool) {
        let deadly: RoomName = deadly.parse().unwrap();
        self.deadly = Some(deadly);
        let commits = self.batches();
        let died = self.deadly.take().is_none();
        if died {
            self.shelf.careful_until_ms = Some(0);
            self.crash();
        }
        (commits, died)
    }

    /// Hands the partition over. Returns false if there was nothing to write down, or that is left to the next holder.
    pub(super) fn hand_over(&mut self) -> bool {
        let begun = self.begin_hand_over();
        if begun {
            let commit = self.core.hand_over(self.now_ms, 1);
            self.shelf.commit(&commit);
        }
        begun
    }

    pub(super) fn begin_hand_over(&mut self) -> bool {
        let note = self.core.begin_hand_over(self.now_ms);
        let begun = note.is_some();
        self.shelf.note(note.into_iter().collect());
        begun
    }

    /// Runs batches for as long as there is something to commit.
    pub(super) fn batches(&mut self) -> Vec<Commit> {
        std::iter::from_fn(|| self.batch()).collect()
    }

    pub(super) fn room(&self) -> &OnShelf {
        &self.shelf.rooms[&ROOM.parse().unwrap()]
    }

    pub(super) fn log(&self) -> &[Entry] {
        &self.room().log
    }

    pub(super) fn seat(&self, session: u64) -> Seat {
        let seats = &self.room().load.seats;
        let seat = seats.iter().find(|(of, _)| *of == sid(session));
        seat.expect("the session has a seat").1.clone()
    }

    /// Returns the view that the room shows to somebody who just looks.
    pub(super) fn state(&mut self, session: u64) -> Lab {
        let commit = self.tell(session, u64::MAX, Request::View);
        match &answers(&commit)[..] {
            [Answer::Seated { state, .. }] => state.clone().unwrap().read().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn open(shelf: &Shelf, registry: &Registry, settings: &WorkerSettings) -> Partition {
    Partition::new(
        PartitionId(0),
        1,
        shelf.cursor,
        registry.clone(),
        Arc::new(settings.clone()),
        Trials::read(
            shelf.notes.clone().into_iter().collect(),
            shelf.careful_until_ms,
        ),
        Watch::unwatched(),
    )
}

impl Shelf {
    pub(super) fn commit(&mut self, commit: &Commit) {
        assert_eq!(commit.from, self.cursor, "W2: a commit expects the cursor");
        assert!(commit.to.topic >= commit.from.topic);
        assert_eq!(commit.to.commits, commit.from.commits + 1);
        self.cursor = commit.to;
        self.unread.drain(..commit.reread);
        self.unread.extend(commit.unread.iter().cloned().map(Err));
        for name in &commit.unnote {
            self.notes.remove(name);
        }
        for change in &commit.rooms {
            self.rooms
                .entry(change.room.clone())
                .or_default()
                .commit(change);
        }
        self.commits.push(commit.clone());
    }

    fn note(&mut self, changes: Vec<NoteChange>) {
        for (name, text) in changes {
            match text {
                Some(text) => drop(self.notes.insert(name, text)),
                None => drop(self.notes.remove(&name)),
            }
        }
    }

    fn load_stopped(&self, room: &RoomName, reason: String) -> Loaded {
        let load = self.rooms.get(room).cloned().unwrap_or_default().load;
        Loaded::Unreadable {
            last: load.last,
            parked: load.parked,
            reason,
        }
    }

    /// The oldest inputs that were kept, as many as a partition asks for.
    fn unread_first(&self) -> Vec<Result<Input, String>> {
        self.unread.iter().take(UNREAD_MAX).cloned().collect()
    }

    /// Returns the inputs that were kept and still cannot be read.
    pub(super) fn unread_texts(&self) -> Vec<&str> {
        let texts = self.unread.iter();
        texts
            .filter_map(|kept| kept.as_ref().err().map(String::as_str))
            .collect()
    }

    /// The earliest, as many as a partition asks for.
    fn wakes(&self) -> Vec<(RoomName, u64)> {
        let rooms = self.rooms.iter();
        let wakes = rooms.filter_map(|(name, room)| Some((name.clone(), room.wake_ms?)));
        let mut wakes: Vec<_> = wakes.collect();
        wakes.sort_by_key(|(_, at_ms)| *at_ms);
        wakes.truncate(WAKES_MAX);
        wakes
    }

    fn load(&self, room: &RoomName) -> Loaded {
        match self.rooms.get(room).cloned().unwrap_or_default() {
            OnShelf {
                unreadable: true,
                load,
                ..
            } => Loaded::Unreadable {
                last: load.last,
                parked: load.parked,
                reason: "the test says so".into(),
            },
            room => Loaded::Room(room.load),
        }
    }
}

impl OnShelf {
    fn commit(&mut self, change: &RoomCommit) {
        let load = &mut self.load;
        assert_eq!(change.prev, load.last, "a commit continues the log");
        for entry in &change.entries {
            assert_eq!(entry.pos.off, load.last.off + 1, "no position is left out");
            assert!(self.log.last().is_none_or(|last| last.at <= entry.at));
            load.last = entry.pos;
            self.log.push(entry.clone());
        }
        for (sid, seat) in &change.seats {
            load.seats.retain(|(of, _)| of != sid);
            load.seats.extend(seat.clone().map(|seat| (*sid, seat)));
        }
        load.head = change.head.clone().or(load.head.take());
        load.snapshot = change.snapshot.clone().or(load.snapshot.take());
        if let Some(below) = change.trim_below {
            assert!(below <= load.last.off, "the last entry stays");
            let folded = load.snapshot.as_ref().map_or(0, |s| s.pos.off);
            assert!(below <= folded + 1, "what no snapshot includes stays");
            self.log.retain(|entry| entry.pos.off >= below);
        }
        let folded = load.snapshot.as_ref().map_or(Pos::START, |s| s.pos);
        let behind = self.log.iter().filter(|entry| entry.pos.off > folded.off);
        load.entries = behind.cloned().collect();
        load.first_off = self.log.first().map_or(0, |entry| entry.pos.off);
        if change.unpark {
            load.parked.clear();
        }
        load.parked.extend(change.park.iter().cloned());
        self.wake_ms = change.wake_ms;
        self.ttl_ms = change.ttl_ms;
    }
}
