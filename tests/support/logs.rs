use std::collections::BTreeMap;

use outlast_protocol::RoomName;
use outlast_store::{Body, SharedStore};
use reconnect_storm::{Logged, LoggedBody, RoomLog};

/// Returns the store's logs of these rooms, as the checker takes them.
pub(crate) async fn logs(store: SharedStore, rooms: &[RoomName]) -> BTreeMap<RoomName, RoomLog> {
    let mut logs = BTreeMap::new();
    for room in rooms {
        let stretch = store.read_log(room, 1, usize::MAX >> 1).await.unwrap();
        let entries = stretch.entries.into_iter().map(|entry| Logged {
            pos: entry.pos,
            body: match entry.body {
                Body::Event { by, n, quiet, data } => LoggedBody::Event { by, n, quiet, data },
                Body::Notice { to, data } => LoggedBody::Notice { to, data },
                Body::Result { to, n, ok, .. } => LoggedBody::Result { to, n, ok },
            },
        });
        logs.insert(
            room.clone(),
            RoomLog {
                entries: entries.collect(),
            },
        );
    }
    logs
}
