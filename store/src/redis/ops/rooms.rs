use std::{fmt::Display, sync::LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::{Pos, RoomName, Sid};
use redis::Script;
use serde::de::DeserializeOwned;

use super::{
    commit::{PackedCommit, is_sound, keys_of},
    fields::{END, HEAD, SEAT, SNAPSHOT},
};
use crate::redis::{
    Redis,
    error::{skip, text, unreadable},
    net::script::ScriptCall,
    unexpected,
};
use crate::{
    Commit, Committed, Cursor, Entry, Input, LogSlice, PartitionId, RoomLoad, Rooms, SeatRead,
    StoreError,
};

static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/commit.lua")));
static LOAD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/load.lua")));
static LOG_SLICE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/log_slice.lua")));

/// So many wakes that cannot be read hide none of the others: fewer than were asked for are all that there are.
const UNREADABLE_MAX: usize = 16;

/// A log entry as XRANGE answers it: its id, and its fields with their values.
type LogEntry = (Bytes, Vec<Bytes>);

#[async_trait]
impl Rooms for Redis {
    async fn cursor(&self, partition: PartitionId) -> Result<Cursor, StoreError> {
        let mut get = redis::cmd("GET");
        let cursor = self.keys.cursor(partition);
        let found: Option<Bytes> = self.nodes.query(&cursor, get.arg(&cursor)).await?;
        found.map_or(Ok(Cursor::default()), |found| {
            text("the cursor", &found)?.parse()
        })
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        if !is_sound(commit) {
            return Err(StoreError::Moved("the entries leave a gap".into()));
        }
        let mut script = ScriptCall::new(&COMMIT, &keys_of(&self.keys, commit));
        script.arg(PackedCommit::new(commit, &self.channels).to_msgpack());
        let answer: Vec<String> = self.nodes.run(&script).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["now"] => Ok(Committed::Now),
            ["before"] => Ok(Committed::Before),
            ["fenced"] => Err(StoreError::Fenced {
                epoch: commit.epoch,
            }),
            ["moved", what] => Err(StoreError::Moved(what.into())),
            _ => Err(unexpected(&format!("{answer:?}"))),
        }
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, StoreError> {
        type Loaded = (
            Vec<(Bytes, Bytes)>,
            Vec<LogEntry>,
            Option<Bytes>,
            Vec<Bytes>,
        );
        let p = self.layout.partition(room);
        let all = [
            self.keys.log(p, room),
            self.keys.room(p, room),
            self.keys.parked(p, room),
        ];
        let script = ScriptCall::reading(&LOAD, &all);
        let (fields, entries, first, parked): Loaded = self.nodes.run(&script).await?;

        let mut load = RoomLoad {
            entries: read_entries(room, &entries)?,
            first_off: read_end(room, first.as_deref())?.off,
            ..RoomLoad::default()
        };
        for json in &parked {
            load.parked.push(read(room, "a parked input", json)?);
        }
        for (field, value) in &fields {
            let field = text(format_args!("a field of {room}"), field)?;
            if field == HEAD {
                load.head = Some(text(format_args!("the head of {room}"), value)?.to_owned());
            } else if field == END {
                load.last = read_end(room, Some(value))?;
            } else if field == SNAPSHOT {
                load.snapshot = Some(read(room, "the snapshot", value)?);
            } else if let Some(sid) = field.strip_prefix(SEAT) {
                let sid = sid
                    .parse::<Sid>()
                    .map_err(|error| unreadable(format_args!("{field} of {room}"), error))?;
                load.seats.push((sid, read(room, field, value)?));
            }
        }
        Ok(load)
    }

    async fn unread(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, StoreError> {
        // To Redis, -1 would be the last of all.
        let Some(last) = max.checked_sub(1) else {
            return Ok(Vec::new());
        };
        let mut range = redis::cmd("LRANGE");
        let key = self.keys.unread(partition);
        range.arg(&key).arg(0).arg(last);
        let kept: Vec<Bytes> = self.nodes.query(&key, &range).await?;
        let read = |kept: &Bytes| {
            serde_json::from_slice(kept).map_err(|_| String::from_utf8_lossy(kept).into_owned())
        };
        Ok(kept.iter().map(read).collect())
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, StoreError> {
        let mut range = redis::cmd("LRANGE");
        let key = self.keys.parked(self.layout.partition(room), room);
        range.arg(&key).arg(0).arg(-1);
        let parked: Vec<Bytes> = self.nodes.query(&key, &range).await?;
        let inputs = parked.iter().map(|json| serde_json::from_slice(json));
        Ok(inputs.filter_map(Result::ok).collect())
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        self.stretch(room, ["XRANGE", &from_off.to_string(), "+"], max)
            .await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<LogSlice, StoreError> {
        let mut stretch = self.stretch(room, ["XREVRANGE", "+", "-"], max).await?;
        stretch.entries.reverse();
        Ok(stretch)
    }

    async fn wakes(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        range
            .arg(self.keys.wakes(partition))
            .arg("-inf")
            .arg("+inf")
            .arg("BYSCORE");
        let some_more = max.saturating_add(UNREADABLE_MAX);
        range.arg("LIMIT").arg(0).arg(some_more).arg("WITHSCORES");
        let wakes: Vec<(Bytes, f64)> = self
            .nodes
            .query(&self.keys.wakes(partition), &range)
            .await?;
        let room = |name: &[u8]| {
            let name = text("a wake", name)?.parse();
            name.map_err(|error| unreadable("a wake", error))
        };
        let wakes = wakes.iter().filter_map(|(name, at_ms)| {
            let room = room(name).map_err(|error| skip(&error)).ok()?;
            Some((room, *at_ms as u64))
        });
        Ok(wakes.take(max).collect())
    }
}

impl Redis {
    async fn stretch(
        &self,
        room: &RoomName,
        range: [&str; 3],
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        let read = self.log_stretch(room, range, max).await?;
        if read.last != Pos::START {
            return Ok(read);
        }
        // There is no log: it never was, or it is lost (W14). Not in the script, since on a Cluster whose slot is
        // being moved the two keys may lie apart.
        let key = self.keys.room(self.layout.partition(room), room);
        let mut get = redis::cmd("HGET");
        let end: Option<Bytes> = self.nodes.query(&key, get.arg(&key).arg(END)).await?;
        let Some(end) = end else { return Ok(read) };
        let last = read_end(room, Some(&end))?;
        // It may have begun just now.
        let read = self.log_stretch(room, range, max).await?;
        match read.last {
            Pos::START => Ok(LogSlice { last, ..read }),
            _ => Ok(read),
        }
    }

    async fn log_stretch(
        &self,
        room: &RoomName,
        range: [&str; 3],
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        type Read = (Vec<LogEntry>, Option<Bytes>, Option<Bytes>);
        let log = self.keys.log(self.layout.partition(room), room);
        let mut script = ScriptCall::reading(&LOG_SLICE, &[log]);
        let (entries, first, last): Read = self.nodes.run(script.arg(&range).arg(max)).await?;
        Ok(LogSlice {
            entries: read_entries(room, &entries)?,
            first_off: read_end(room, first.as_deref())?.off,
            last: read_end(room, last.as_deref())?,
        })
    }
}

/// Where a session stands, by where the room ends and by its seat, if there are any.
pub(in crate::redis) fn standing(room: &RoomName, end: &str, seat: &str) -> Option<SeatRead> {
    let end = Some(end.as_bytes()).filter(|end| !end.is_empty());
    let last = read_end(room, end).ok()?;
    Some(seat)
        .filter(|seat| !seat.is_empty())
        .and_then(|seat| SeatRead::read(room, seat, last))
}

fn read_entries(room: &RoomName, entries: &[LogEntry]) -> Result<Vec<Entry>, StoreError> {
    let entry = |(id, fields): &LogEntry| {
        let what = format!("entry {}", String::from_utf8_lossy(id));
        match fields.as_slice() {
            [_, json] => read(room, what, json),
            _ => Err(unreadable(
                format_args!("{what} of {room}"),
                "it has other fields",
            )),
        }
    };
    entries.iter().map(entry).collect()
}

/// One end of a log; [`Pos::START`] for one that has no entries.
fn read_end(room: &RoomName, id: Option<&[u8]>) -> Result<Pos, StoreError> {
    let Some(id) = id else { return Ok(Pos::START) };
    let id = text(format_args!("an end of {room}"), id)?;
    id.parse()
        .map_err(|error| unreadable(format_args!("entry {id} of {room}"), error))
}

fn read<T: DeserializeOwned>(
    room: &RoomName,
    what: impl Display,
    json: &[u8],
) -> Result<T, StoreError> {
    serde_json::from_slice(json)
        .map_err(|error| unreadable(format_args!("{what} of {room}"), error))
}
