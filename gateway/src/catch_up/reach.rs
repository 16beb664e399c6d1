//! What a resume asks of the store. Each room is reached or not, by itself: one that is out of reach, as a node of a
//! Redis Cluster is down, is left to the socket (R6).

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use outlast_store::{PartitionId, Request, StoreError};
use tokio::time::{Instant, timeout_at};

use super::resumed_room::{ResumedRoom, Seat};
use crate::{
    gateway::{AttachId, Shared},
    socket::Socket,
};

/// Time for the store to answer for a partition after it has answered for another.
const REACHED_WITHIN: Duration = Duration::from_secs(1);

/// Listens to the rooms, so that nothing after their answers goes unheard.
pub(super) async fn enter(socket: &mut Socket, rooms: &mut [ResumedRoom]) {
    let (hub, wake) = (&socket.shared.hub, &socket.wake);
    let entering = rooms.iter_mut().map(|room| async move {
        let seat = hub.enter(&room.name, wake.clone(), room.slot).await?;
        room.reached = true;
        Ok::<_, StoreError>((room.slot, seat))
    });
    for (slot, seat) in in_reach(entering, false).await {
        if let Some(room) = socket.rooms.get(slot) {
            room.subscribe(seat);
        }
    }
}

/// Tells the rooms of the new socket that the client knows its place in, and looks where the session stands there: as of
/// the room's last commit, which comes after all that the client has seen. From here on older sockets have no say; what
/// they had said before is the room's to apply, and comes with the log. Nobody waits for the room, which speaks only if
/// the session has left by then.
pub(super) async fn arrive(shared: &Shared, who: AttachId, rooms: &mut [ResumedRoom]) {
    let known = by_partition(shared, rooms, |room| room.pos.is_some());
    let arrivals = known.into_iter().map(|(partition, mut rooms)| async move {
        let arrived = |room: &&mut ResumedRoom| shared.input(who, &room.name, Request::Arrived);
        let inputs = rooms.iter().map(arrived).collect();
        let found = shared.arrive(partition, inputs).await?;
        for (room, seat) in rooms.iter_mut().zip(found) {
            room.reached = true;
            room.seat = seat.and_then(|seat| Seat::committed(seat, who.generation));
        }
        Ok::<_, StoreError>(())
    });
    in_reach(arrivals, false).await;
}

/// Asks the rooms where the session stands in them, where that is not known, and tells them of the new socket.
pub(super) async fn ask(shared: &Shared, who: AttachId, rooms: &mut [ResumedRoom]) {
    let answers = rooms.iter().any(|room| room.seat.is_some());
    let unknown = by_partition(shared, rooms, |room| room.seat.is_none());
    let asking = unknown
        .into_iter()
        .map(|(partition, mut rooms)| async move {
            let attached = |room: &&mut ResumedRoom| {
                let request = Request::Attached { view: room.view };
                shared.input(who, &room.name, request)
            };
            let inputs = rooms.iter().map(attached).collect();
            shared.append(partition, inputs).await?;
            rooms.iter_mut().for_each(|room| room.reached = true);
            Ok::<_, StoreError>(())
        });
    in_reach(asking, answers).await;
}

/// Some of the rooms that the store has reached so far, by partition. None of them counts as reached until the store
/// has answered again.
fn by_partition<'a>(
    shared: &Shared,
    rooms: &'a mut [ResumedRoom],
    some: impl Fn(&ResumedRoom) -> bool,
) -> BTreeMap<PartitionId, Vec<&'a mut ResumedRoom>> {
    let layout = shared.store.layout();
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for room in rooms.iter_mut().filter(|room| room.reached && some(room)) {
        room.reached = false;
        let partition = layout.partition(&room.name);
        partitions.entry(partition).or_default().push(room);
    }
    partitions
}

/// Does all of it at once, and returns what was done. Where the store answers for some, or has answered before, the rest
/// does not take long.
async fn in_reach<T>(
    doing: impl Iterator<Item = impl Future<Output = Result<T, StoreError>>>,
    answers: bool,
) -> Vec<T> {
    let mut doing: FuturesUnordered<_> = doing.collect();
    let mut done = Vec::new();
    let mut deadline = answers.then(|| Instant::now() + REACHED_WITHIN);
    loop {
        let next = match deadline {
            None => doing.next().await,
            Some(deadline) => timeout_at(deadline, doing.next()).await.unwrap_or(None),
        };
        match next {
            Some(Ok(one)) => {
                deadline.get_or_insert_with(|| Instant::now() + REACHED_WITHIN);
                done.push(one);
            }
            Some(Err(error)) => tracing::debug!(%error, "store did not reach a resumed room"),
            None => return done,
        }
    }
}
