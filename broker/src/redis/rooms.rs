use std::{fmt::Display, sync::LazyLock};

use async_trait::async_trait;
use outlast_protocol::{Pos, RoomName, Sid};
use redis::Script;
use serde::de::DeserializeOwned;

use super::{
    Redis,
    commit::{END, HEAD, PackedCommit, SEAT, SNAPSHOT, is_sound, keys_of},
    errand::Call,
    keys, unexpected,
};
use crate::{
    BrokerError, Commit, Committed, Cursor, Entry, Input, Partition, RoomLoad, Rooms, Standing,
    Stretch,
};

static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
static LOAD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("load.lua")));
static STRETCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("stretch.lua")));

/// A log entry as XRANGE answers it: its id, and its one field with its value.
type LogEntry = (String, (String, String));

#[async_trait]
impl Rooms for Redis {
    async fn cursor(&self, partition: Partition) -> Result<Cursor, BrokerError> {
        let mut get = redis::cmd("GET");
        let cursor = keys::cursor(partition);
        let text: Option<String> = self.nodes.query(&cursor, get.arg(&cursor)).await?;
        text.map_or(Ok(Cursor::default()), |text| text.parse())
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, BrokerError> {
        if !is_sound(commit) {
            return Err(BrokerError::Moved("the entries leave a gap".into()));
        }
        let mut script = Call::new(&COMMIT, &keys_of(commit));
        script.arg(PackedCommit::new(commit, &self.channels).to_msgpack());
        let answer: Vec<String> = self.nodes.run(&script).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["now"] => Ok(Committed::Now),
            ["before"] => Ok(Committed::Before),
            ["fenced"] => Err(BrokerError::Fenced {
                epoch: commit.epoch,
            }),
            ["moved", what] => Err(BrokerError::Moved(what.into())),
            _ => Err(unexpected(&format!("{answer:?}"))),
        }
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, BrokerError> {
        type Loaded = (
            Vec<(String, String)>,
            Vec<LogEntry>,
            Option<String>,
            Vec<String>,
        );
        let p = self.layout.partition(room);
        let all = [
            keys::log(p, room),
            keys::room(p, room),
            keys::parked(p, room),
        ];
        let script = Call::reading(&LOAD, &all);
        let (fields, entries, first, parked): Loaded = self.nodes.run(&script).await?;

        let mut load = RoomLoad {
            entries: read_entries(room, entries)?,
            first_off: read_end(room, first)?.off,
            ..RoomLoad::default()
        };
        for json in &parked {
            load.parked.push(read(room, "a parked input", json)?);
        }
        for (field, value) in fields {
            if field == HEAD {
                load.head = Some(value);
            } else if field == END {
                load.last = read_end(room, Some(value))?;
            } else if field == SNAPSHOT {
                load.snapshot = Some(read(room, "the snapshot", &value)?);
            } else if let Some(sid) = field.strip_prefix(SEAT) {
                let sid = sid
                    .parse::<Sid>()
                    .map_err(|error| unreadable(room, &field, error))?;
                load.seats.push((sid, read(room, &field, &value)?));
            }
        }
        Ok(load)
    }

    async fn unread(
        &self,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, BrokerError> {
        // To Redis, -1 would be the last of all.
        let Some(last) = max.checked_sub(1) else {
            return Ok(Vec::new());
        };
        let mut range = redis::cmd("LRANGE");
        let key = keys::unread(partition);
        range.arg(&key).arg(0).arg(last);
        let kept: Vec<String> = self.nodes.query(&key, &range).await?;
        let read = |text: String| serde_json::from_str(&text).map_err(|_| text);
        Ok(kept.into_iter().map(read).collect())
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, BrokerError> {
        let mut range = redis::cmd("LRANGE");
        let key = keys::parked(self.layout.partition(room), room);
        range.arg(&key).arg(0).arg(-1);
        let parked: Vec<String> = self.nodes.query(&key, &range).await?;
        let inputs = parked.iter().map(|json| serde_json::from_str(json));
        Ok(inputs.filter_map(Result::ok).collect())
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<Stretch, BrokerError> {
        self.stretch(room, ["XRANGE", &from_off.to_string(), "+"], max)
            .await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<Stretch, BrokerError> {
        let mut stretch = self.stretch(room, ["XREVRANGE", "+", "-"], max).await?;
        stretch.entries.reverse();
        Ok(stretch)
    }

    async fn wakes(
        &self,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, BrokerError> {
        let mut range = redis::cmd("ZRANGE");
        range
            .arg(keys::wakes(partition))
            .arg("-inf")
            .arg("+inf")
            .arg("BYSCORE");
        range.arg("LIMIT").arg(0).arg(max).arg("WITHSCORES");
        let wakes: Vec<(String, f64)> = self.nodes.query(&keys::wakes(partition), &range).await?;
        let room = |name: &str| {
            name.parse()
                .map_err(|error| BrokerError::Unreadable(format!("a wake: {error}")))
        };
        wakes
            .iter()
            .map(|(name, at_ms)| Ok((room(name)?, *at_ms as u64)))
            .collect()
    }
}

impl Redis {
    async fn stretch(
        &self,
        room: &RoomName,
        range: [&str; 3],
        max: usize,
    ) -> Result<Stretch, BrokerError> {
        type Read = (Vec<LogEntry>, Option<String>, Option<String>);
        let log = keys::log(self.layout.partition(room), room);
        let mut script = Call::reading(&STRETCH, &[log]);
        let (entries, first, last): Read = self.nodes.run(script.arg(&range).arg(max)).await?;
        Ok(Stretch {
            entries: read_entries(room, entries)?,
            first_off: read_end(room, first)?.off,
            last: read_end(room, last)?,
        })
    }
}

/// The field of a room's hash where a session's seat lies.
pub(super) fn seat_field(sid: &Sid) -> String {
    format!("{SEAT}{sid}")
}

/// Where a session stands, by where the room ends and by its seat, if there are any.
pub(super) fn standing(room: &RoomName, end: String, seat: &str) -> Option<Standing> {
    let last = read_end(room, Some(end).filter(|end| !end.is_empty())).ok()?;
    Some(seat)
        .filter(|seat| !seat.is_empty())
        .and_then(|seat| Standing::read(room, seat, last))
}

fn read_entries(room: &RoomName, entries: Vec<LogEntry>) -> Result<Vec<Entry>, BrokerError> {
    let entry = |(id, (_, json)): LogEntry| read(room, format_args!("entry {id}"), &json);
    entries.into_iter().map(entry).collect()
}

/// One end of a log; [`Pos::START`] for one that has no entries.
fn read_end(room: &RoomName, id: Option<String>) -> Result<Pos, BrokerError> {
    let Some(id) = id else { return Ok(Pos::START) };
    id.parse()
        .map_err(|error| unreadable(room, format_args!("entry {id}"), error))
}

fn read<T: DeserializeOwned>(
    room: &RoomName,
    what: impl Display,
    json: &str,
) -> Result<T, BrokerError> {
    serde_json::from_str(json).map_err(|error| unreadable(room, what, error))
}

fn unreadable(room: &RoomName, what: impl Display, error: impl Display) -> BrokerError {
    BrokerError::Unreadable(format!("{what} of {room}: {error}"))
}
