//! Which node of a Cluster has which slot.

use std::{collections::BTreeSet, ops::RangeInclusive};

use redis::Value;

use super::url::Address;

/// Which node has which slot, as one of them sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redis) struct SlotMap {
    spans: Vec<(RangeInclusive<u16>, Address)>,
    /// Rises with each failover that the node has heard of.
    epoch: u64,
}

impl SlotMap {
    /// Reads the answer to CLUSTER SLOTS. `from` is who gave it: a node that leaves out its host means that
    /// one.
    pub(in crate::redis) fn read(slots: &Value, from: &Address, epoch: u64) -> Self {
        let Value::Array(spans) = slots else {
            return SlotMap::default();
        };
        let spans = spans.iter().filter_map(|span| read_span(span, from));
        SlotMap {
            spans: spans.collect(),
            epoch,
        }
    }

    /// Returns the node that has a slot.
    pub(in crate::redis) fn owner(&self, slot: u16) -> Option<&Address> {
        let mut spans = self.spans.iter();
        let (_, owner) = spans.find(|(span, _)| span.contains(&slot))?;
        Some(owner)
    }

    /// Every node that has a slot.
    pub(in crate::redis) fn owners(&self) -> impl Iterator<Item = &Address> {
        let all: BTreeSet<_> = self.spans.iter().map(|(_, owner)| owner).collect();
        all.into_iter()
    }

    /// Of several views, the highest is to be believed: it knows of the newest failover, and of the most
    /// slots.
    pub(in crate::redis) fn rank(&self) -> (u64, usize) {
        let known = self.spans.iter().map(|(span, _)| span.len()).sum();
        (self.epoch, known)
    }
}

/// `[first, last, [host, port, id, …], replicas …]`
fn read_span(span: &Value, from: &Address) -> Option<(RangeInclusive<u16>, Address)> {
    let Value::Array(parts) = span else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = parts.as_slice()
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let host: Option<String> = redis::from_redis_value(host.clone()).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let owner = Address {
        host: host.unwrap_or_else(|| from.host.clone()),
        port: u16::try_from(*port).ok()?,
    };
    let slots = u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?;
    Some((slots, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, last: i64, host: Value, port: i64) -> Value {
        let node = Value::Array(vec![host, Value::Int(port), Value::Okay]);
        let replica = Value::Array(vec![Value::Okay, Value::Int(1), Value::Okay]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node, replica])
    }

    #[test]
    fn the_masters_have_the_slots_and_who_leaves_out_its_host_means_whom_we_asked() {
        let from = Address::parse("asked:9", 0).unwrap();
        let slots = Value::Array(vec![
            span(0, 99, Value::BulkString(b"a".into()), 1),
            span(100, 16383, Value::Nil, 2),
            Value::Nil,
        ]);
        let table = SlotMap::read(&slots, &from, 4);
        assert_eq!(table.owner(99).unwrap().to_string(), "a:1");
        assert_eq!(table.owner(100).unwrap().to_string(), "asked:2");
        assert_eq!(table.owners().count(), 2);
        assert_eq!(table.rank(), (4, 16384));
        assert!(SlotMap::default().owner(0).is_none());
    }
}
