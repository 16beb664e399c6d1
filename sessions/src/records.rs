//! Where sessions lie: whole records out of the store and, by compare-and-swap, back into it; and what
//! their rooms are told, through the rooms' topics.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future;
use outlast_protocol::Sid;
use outlast_store::{
    Deadline, Group, Input, Mended, PartitionId, RecordIndexes, RecordWrite, ShardId, SharedStore,
    StoreError, Terms, WriteOutcome,
};

use crate::{
    SessionError, SessionSettings,
    machine::{Notice, Session, TELL_WITHIN_MS},
    record_codec, telemetry,
    terms::Counting,
};

/// The number of inputs that go into one append.
const APPEND_MAX: usize = 256;

/// The number of records that are held against their indexes in one step: Redis serves nobody else meanwhile.
pub(crate) const MEND_MAX: usize = 64;

/// The sessions of a store, as records.
#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) store: SharedStore,
    /// The settings that this process was given.
    given: SessionSettings,
    terms: Counting,
}

/// A session as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) sid: Sid,
    /// The record's version.
    pub(crate) version: u64,
    /// The store's clock when it was read.
    pub(crate) now_ms: u64,
    pub(crate) session: Session,
}

/// The notice that all rooms of a session are to be told.
#[derive(Debug)]
pub(crate) struct RoomNotice<'a> {
    pub(crate) sid: Sid,
    pub(crate) session: &'a Session,
    pub(crate) tell: Notice,
    /// The store's clock when it was decided: it is told soon after, or not at all.
    pub(crate) decided_ms: u64,
}

impl Records {
    pub(crate) fn new(store: SharedStore, given: SessionSettings) -> Self {
        Records {
            store,
            terms: Counting::of(&given),
            given,
        }
    }

    /// Returns the settings of sessions as they count in this store.
    pub(crate) fn settings(&self) -> SessionSettings {
        let Terms { ttl_ms, grace_ms } = self.terms.get();
        SessionSettings {
            ttl_ms,
            grace_ms,
            ..self.given
        }
    }

    /// Goes by the ttl and the grace that count in the store (L10).
    pub(crate) async fn agree(&self) -> Result<(), StoreError> {
        // In a store that was emptied, what counted before is to count again.
        let counting = self.store.agree(self.terms.get()).await?;
        self.go_by(counting);
        Ok(())
    }

    /// The same for a keeper: in a store that was emptied, what was decreed before goes before what somebody else brought.
    pub(crate) async fn uphold(&self) -> Result<(), StoreError> {
        let counting = self.store.uphold(self.terms.get()).await?;
        self.go_by(counting);
        Ok(())
    }

    fn go_by(&self, counting: Terms) {
        if self.terms.set(counting) {
            tracing::warn!(
                ttl_ms = counting.ttl_ms,
                grace_ms = counting.grace_ms,
                given_ttl_ms = self.given.ttl_ms,
                given_grace_ms = self.given.grace_ms,
                "session ttl or grace changed to what the store says"
            );
        }
    }

    /// Makes the ttl and the grace that this process was given count in the store (L10).
    pub(crate) async fn decree(&self) -> Result<(), StoreError> {
        let known = self.store.agree(self.given()).await?;
        // Also where they count already: nobody may have decreed them.
        self.store.decree(self.given()).await?;
        if known != self.given() {
            tracing::warn!(
                ttl_ms = self.given.ttl_ms,
                grace_ms = self.given.grace_ms,
                before_ttl_ms = known.ttl_ms,
                before_grace_ms = known.grace_ms,
                "session ttl or grace changed in the store to what this process was given"
            );
        }
        self.terms.set(self.given());
        Ok(())
    }

    fn given(&self) -> Terms {
        Terms {
            ttl_ms: self.given.ttl_ms,
            grace_ms: self.given.grace_ms,
        }
    }

    /// Makes the indexes say of records what those say themselves (S11).
    pub(crate) async fn mend(
        &self,
        shard: ShardId,
        seen: &[RecordIndexes],
    ) -> Result<(), StoreError> {
        for seen in seen.chunks(MEND_MAX) {
            let mended = self.store.mend(shard, seen).await?;
            for (seen, mended) in seen.iter().zip(mended) {
                let Mended { removed, restored } = mended;
                if mended.is_nothing() {
                    continue;
                }
                telemetry::found("entry", removed.into());
                telemetry::found("unlisted", restored.into());
                tracing::warn!(sid = %seen.sid, removed, restored, "session index entries repaired");
            }
        }
        Ok(())
    }

    /// Reads a session.
    pub(crate) async fn read(&self, sid: Sid) -> Result<Option<Loaded>, SessionError> {
        let read = self.store.read(self.shard(&sid), &sid).await?;
        let Some(found) = read.record else {
            return Ok(None);
        };
        Ok(Some(Loaded {
            sid,
            version: found.version,
            now_ms: read.now_ms,
            session: record_codec::decode(&found.value)?,
        }))
    }

    /// Reads several sessions; beside those found, those whose records this version cannot
    /// read, with why.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn read_all(
        &self,
        sids: &[Sid],
    ) -> Result<(Vec<Loaded>, Vec<(Sid, String)>), StoreError> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        let reads = sids.iter().map(|sid| self.read(*sid));
        for (sid, read) in sids.iter().zip(future::join_all(reads).await) {
            match read {
                Ok(loaded) => found.extend(loaded),
                Err(SessionError::Store(error)) => return Err(error),
                Err(error) => unreadable.push((*sid, error.to_string())),
            }
        }
        Ok((found, unreadable))
    }

    /// Writes a session, if its record has this version; 0 if there must not be one yet.
    pub(crate) async fn write(
        &self,
        sid: Sid,
        expect: u64,
        session: &Session,
    ) -> Result<WriteOutcome, StoreError> {
        let due_ms = session.due_ms(&self.settings());
        self.write_due(sid, expect, session, due_ms).await
    }

    /// Leaves a session as it is, and due in `after_ms`.
    pub(crate) async fn postpone(
        &self,
        old: &Loaded,
        after_ms: u64,
    ) -> Result<WriteOutcome, StoreError> {
        let due_ms = Some(old.now_ms + after_ms);
        self.write_due(old.sid, old.version, &old.session, due_ms)
            .await
    }

    /// Deletes what was read.
    pub(crate) async fn delete(&self, old: &Loaded) -> Result<WriteOutcome, StoreError> {
        let write = RecordWrite {
            sid: old.sid,
            expect: old.version,
            value: None,
            due_ms: None,
            owner: None,
            group: None,
        };
        self.store.write(self.shard(&old.sid), write).await
    }

    /// Tells rooms of sessions what has become of those. Telling a room twice is harmless. Answers the
    /// partitions whose topics did not take it, or may not have.
    pub(crate) async fn tell<'a>(
        &self,
        news: impl IntoIterator<Item = RoomNotice<'a>>,
    ) -> BTreeSet<PartitionId> {
        let mut topics: BTreeMap<PartitionId, Vec<Input>> = BTreeMap::new();
        let mut decided_ms = u64::MAX;
        for news in news {
            decided_ms = decided_ms.min(news.decided_ms);
            for room in &news.session.rooms {
                let partition = self.store.layout().partition(room);
                topics.entry(partition).or_default().push(Input {
                    room: room.clone(),
                    sid: news.sid,
                    generation: news.session.generation,
                    gateway: None,
                    request: news.tell.request(),
                });
            }
        }
        let deadline = Deadline(decided_ms.saturating_add(TELL_WITHIN_MS));
        let appends = topics
            .into_iter()
            .map(|(partition, inputs)| self.append(partition, deadline, inputs));
        future::join_all(appends)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Returns the partition if its topic did not take them all.
    async fn append(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Option<PartitionId> {
        for inputs in inputs.chunks(APPEND_MAX) {
            let appended = self
                .store
                .append(partition, deadline, inputs.to_vec())
                .await;
            if let Err(error) = appended {
                tracing::debug!(?partition, %error, "notifying rooms of sessions failed; retrying later");
                return Some(partition);
            }
        }
        None
    }

    async fn write_due(
        &self,
        sid: Sid,
        expect: u64,
        session: &Session,
        due_ms: Option<u64>,
    ) -> Result<WriteOutcome, StoreError> {
        // Who is over no longer counts among the user's sessions.
        let group = (!session.is_over()).then(|| Group {
            name: session.identity.user.clone(),
            max: self.given.per_user_max,
        });
        let write = RecordWrite {
            sid,
            expect,
            value: Some(record_codec::encode(session)),
            due_ms,
            owner: session.gateway().cloned(),
            group,
        };
        self.store.write(self.shard(&sid), write).await
    }

    fn shard(&self, sid: &Sid) -> ShardId {
        self.store.layout().shard(sid)
    }
}
