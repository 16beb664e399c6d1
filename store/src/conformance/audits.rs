use bytes::Bytes;
use outlast_protocol::Sid;

use super::{
    Harness, Lost,
    records::{Desk, done, sorted, write},
};
use crate::{Group, Holder, Mended, NodeId, RecordIndexes, RecordWrite, WriteOutcome};

/// Longer than any case takes.
const LATER_MS: u64 = 4_000_000_000_000;

pub async fn s9_entries_whose_record_is_gone_are_removed(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let (lost, kept) = (desk.sid(), desk.sid());
    desk.write(everywhere(lost, 1, 2)).await;
    desk.write(everywhere(kept, 1, 2)).await;
    harness.lose(desk.shard, lost, Lost::Record).await;
    assert_eq!(desk.owned("one", 9).await, sorted([lost, kept]));
    assert_eq!(
        desk.write(everywhere(desk.sid(), 1, 2)).await,
        WriteOutcome::GroupFull,
        "what is lost still counts"
    );

    let seen = [seen(lost), seen(kept)];
    let mended = store.mend(desk.shard, &seen).await.unwrap();
    let removed = Mended {
        removed: 3,
        restored: 0,
    };
    assert_eq!(mended, [removed, Mended::default()]);
    assert_eq!(desk.owned("one", 9).await, [kept]);
    assert_eq!(store.due(desk.shard, 9).await, Ok(vec![kept]));
    assert_eq!(desk.write(everywhere(desk.sid(), 1, 2)).await, done(1));
    let again = store.mend(desk.shard, &seen).await.unwrap();
    assert_eq!(again, [Mended::default(); 2]);
}

pub async fn s9_entries_that_are_missing_are_put_back(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let sid = desk.sid();
    desk.write(everywhere(sid, 1, 1)).await;
    for what in [
        Lost::Due,
        Lost::Owner("one".into()),
        Lost::Group("user:ada".into()),
    ] {
        harness.lose(desk.shard, sid, what.clone()).await;
        let listed = (
            store.due(desk.shard, 9).await.unwrap().len(),
            desk.owned("one", 9).await.len(),
            store
                .grouped_after(desk.shard, None, 9)
                .await
                .unwrap()
                .len(),
        );
        assert_eq!(listed.0 + listed.1 + listed.2, 2, "without {what:?}");
        let mended = store
            .mend(desk.shard, &[RecordIndexes::nowhere(sid)])
            .await
            .unwrap();
        let restored = Mended {
            removed: 0,
            restored: 1,
        };
        assert_eq!(mended, [restored], "without {what:?}");
        assert_eq!(store.due(desk.shard, 9).await, Ok(vec![sid]));
        assert_eq!(desk.owned("one", 9).await, [sid]);
        assert_eq!(
            store.grouped(desk.shard, "user:ada", 9).await,
            Ok(vec![sid])
        );
    }
    // What was put back goes with the record.
    let delete = RecordWrite {
        value: None,
        ..everywhere(sid, 1, 1)
    };
    assert_eq!(
        desk.write(RecordWrite {
            expect: 1,
            ..delete
        })
        .await,
        done(2)
    );
    assert_eq!(store.waiting(desk.shard).await, Ok(0));
    assert_eq!(desk.owners().await, Vec::<String>::new());
    assert_eq!(
        store.grouped_after(desk.shard, None, 9).await,
        Ok(Vec::new())
    );
}

pub async fn s9_indexes_are_read_page_by_page(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let sids = sorted(std::array::from_fn::<_, 5, _>(|_| desk.sid()));
    for sid in &sids {
        desk.write(everywhere(*sid, LATER_MS, 9)).await;
    }
    let one = NodeId::from("one");
    let (mut owned, mut after) = (Vec::new(), None);
    loop {
        let page = store.owned_after(desk.shard, &one, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        after = page.last().copied();
        if after.is_none() {
            break;
        }
        owned.extend(page);
    }
    assert_eq!(sorted(owned), sids);

    let (mut places, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .grouped_after(desk.shard, after.as_ref(), 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        after = page.last().cloned();
        if after.is_none() {
            break;
        }
        places.extend(page);
    }
    assert!(places.iter().all(|(group, _)| group == "user:ada"));
    let placed: Vec<_> = places.into_iter().map(|(_, sid)| sid).collect();
    assert_eq!(sorted(placed), sids);
}

pub async fn s9_who_holds_a_record_is_told(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let sids: [Sid; 3] = std::array::from_fn(|_| desk.sid());
    desk.write(everywhere(sids[0], 1, 9)).await;
    desk.write(write(sids[1], 0, &Bytes::from("v"))).await;
    desk.write(write(sids[1], 1, &Bytes::from("v"))).await;
    let holder = |version, gateway: Option<&str>| {
        let gateway = gateway.map(NodeId::from);
        Some(Holder { version, gateway })
    };
    let expected = [holder(1, Some("one")), holder(2, None), None];
    let holders = store.holders(desk.shard, &sids).await;
    assert_eq!(holders.unwrap(), expected);
    assert_eq!(store.holders(desk.shard, &[]).await, Ok(Vec::new()));
}

/// A new record that is in every index.
fn everywhere(sid: Sid, due_ms: u64, max: usize) -> RecordWrite {
    RecordWrite {
        due_ms: Some(due_ms),
        owner: Some("one".into()),
        group: Some(Group {
            name: "user:ada".into(),
            max,
        }),
        ..write(sid, 0, &Bytes::from("v"))
    }
}

/// As a record is seen that is in every index.
fn seen(sid: Sid) -> RecordIndexes {
    RecordIndexes {
        sid,
        due: true,
        owner: Some("one".into()),
        group: Some("user:ada".into()),
    }
}
