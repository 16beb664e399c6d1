//! The fair division of leases: the pure planning that workers and keepers share.
//!
//! Everybody looks at the same leases and the same list of the living, and so comes to the same plan
//! without talking: free leases go, one by one, to whoever holds the fewest. Where the looks differ, two
//! claim the same lease and one of them gets it; that costs a message and nothing else.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{LeaseHolder, LeaseName, Node, NodeId, Role};

/// The time that a lease may stay free before anybody takes it, whoever was meant to.
pub const PATIENCE: Duration = Duration::from_millis(300);

/// The next steps of one process about leases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Claim these.
    pub claim: Vec<LeaseName>,
    /// Hand this one over: somebody else holds fewer.
    pub release: Option<LeaseName>,
}

/// One process's view of a set of leases over time.
#[derive(Debug)]
pub struct Balance {
    me: NodeId,
    free_since: BTreeMap<LeaseName, Instant>,
}

impl Balance {
    /// The view of a process that has not looked yet.
    pub fn new(me: NodeId) -> Self {
        Balance {
            me,
            free_since: BTreeMap::new(),
        }
    }

    /// Plans from a look at all the leases: `survey` says who holds each, `live` who could (see
    /// [`live`]; `me` counts in any case), and `mine` which this process holds and means to keep.
    ///
    /// `now` measures how long a lease has been free; it must not go back from call to call.
    pub fn plan(
        &mut self,
        now: Instant,
        live: &[NodeId],
        survey: &[LeaseHolder],
        mine: &[LeaseName],
    ) -> Plan {
        let free = self.free(now, survey);
        let mut held = self.count(live, survey, mine);
        if free.is_empty() {
            let release = self.surplus(&held).then(|| mine.last().copied()).flatten();
            return Plan {
                claim: Vec::new(),
                release,
            };
        }
        let mut claim = Vec::new();
        for (name, free_for) in free {
            let Some((heir, count)) = held.iter_mut().min_by_key(|(_, count)| **count) else {
                break;
            };
            *count += 1;
            if *heir == &self.me || free_for > PATIENCE {
                claim.push(name);
            }
        }
        Plan {
            claim,
            release: None,
        }
    }

    /// Returns the number of leases that each living process holds.
    fn count<'a>(
        &'a self,
        live: &'a [NodeId],
        survey: &[LeaseHolder],
        mine: &[LeaseName],
    ) -> BTreeMap<&'a NodeId, usize> {
        let mut held: BTreeMap<_, _> = live.iter().map(|id| (id, 0)).collect();
        for owner in survey.iter().filter_map(|lease| lease.owner.as_ref()) {
            if let Some(count) = held.get_mut(owner) {
                *count += 1;
            }
        }
        // What this process holds it knows better than a survey, which may be older.
        held.insert(&self.me, mine.len());
        held
    }

    /// The leases that nobody holds, and for how long that has been so.
    fn free(&mut self, now: Instant, survey: &[LeaseHolder]) -> Vec<(LeaseName, Duration)> {
        let free = survey.iter().filter(|lease| lease.owner.is_none());
        let since = |name| self.free_since.get(&name).copied().unwrap_or(now);
        self.free_since = free.map(|lease| (lease.name, since(lease.name))).collect();
        let free = self.free_since.iter();
        free.map(|(name, since)| (*name, now.saturating_duration_since(*since)))
            .collect()
    }

    /// True if this process is the one to give a lease away: it holds the most of all, and at least two
    /// more than somebody else.
    fn surplus(&self, held: &BTreeMap<&NodeId, usize>) -> bool {
        let most = held.iter().max_by_key(|(id, count)| (**count, **id));
        let fewest = held.values().min();
        matches!((most, fewest), (Some((id, most)), Some(fewest)) if *id == &self.me && *most > fewest + 1)
    }
}

/// Returns those of `members` that have this role and were heard of within `within_ms`.
pub fn live(members: &[Node], role: Role, now_ms: u64, within_ms: u64) -> Vec<NodeId> {
    members
        .iter()
        .filter(|member| member.role == role)
        .filter(|member| now_ms.saturating_sub(member.heard_ms) <= within_ms)
        .map(|member| member.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartitionId;

    /// A fleet that plans and acts in turns.
    struct Fleet {
        balances: BTreeMap<NodeId, Balance>,
        owners: BTreeMap<LeaseName, Option<NodeId>>,
        now: Instant,
    }

    impl Fleet {
        fn new(leases: u16) -> Self {
            let name = |p| LeaseName::Partition(PartitionId(p));
            Fleet {
                balances: BTreeMap::new(),
                owners: (0..leases).map(|p| (name(p), None)).collect(),
                now: Instant::now(),
            }
        }

        fn join(&mut self, id: &str) {
            self.balances.insert(id.into(), Balance::new(id.into()));
        }

        fn die(&mut self, id: &str) {
            self.balances.remove(&NodeId::from(id));
            for owner in self.owners.values_mut() {
                owner.take_if(|owner| owner.as_str() == id);
            }
        }

        fn held(&self, id: &NodeId) -> Vec<LeaseName> {
            let mine = self.owners.iter().filter(|(_, o)| o.as_ref() == Some(id));
            mine.map(|(name, _)| *name).collect()
        }

        /// Everybody looks at the same moment and then acts. Answers whether anything changed hands.
        fn turn(&mut self) -> bool {
            let live: Vec<_> = self.balances.keys().cloned().collect();
            let survey: Vec<_> = self.survey();
            let mut plans = Vec::new();
            for id in &live {
                let mine = self.held(id);
                let balance = self.balances.get_mut(id).unwrap();
                plans.push((id, balance.plan(self.now, &live, &survey, &mine)));
            }
            let mut changed = false;
            for (id, plan) in plans {
                for name in plan.claim {
                    let owner = self.owners.get_mut(&name).unwrap();
                    assert_eq!(*owner, None, "two planned to claim {name:?}");
                    *owner = Some(id.clone());
                    changed = true;
                }
                if let Some(name) = plan.release {
                    self.owners.insert(name, None);
                    changed = true;
                }
            }
            changed
        }

        fn survey(&self) -> Vec<LeaseHolder> {
            let survey = |(name, owner): (&LeaseName, &Option<NodeId>)| LeaseHolder {
                name: *name,
                owner: owner.clone(),
            };
            self.owners.iter().map(survey).collect()
        }

        fn settle(&mut self) -> Vec<usize> {
            let turns = (0..200).find(|_| !self.turn());
            assert!(turns.is_some(), "leases never stop changing hands");
            let held = self.balances.keys().map(|id| self.held(id).len());
            held.collect()
        }
    }

    #[test]
    fn a_lone_process_takes_everything_in_one_turn() {
        let mut fleet = Fleet::new(16);
        fleet.join("a");
        assert!(fleet.turn());
        assert_eq!(fleet.settle(), [16]);
    }

    #[test]
    fn leases_spread_evenly_as_processes_come_and_go() {
        for leases in [1, 4, 16, 17, 64] {
            let mut fleet = Fleet::new(leases);
            for id in ["a", "b", "c", "d", "e"] {
                fleet.join(id);
                assert_even(fleet.settle(), leases);
            }
            for id in ["c", "a", "e"] {
                fleet.die(id);
                assert_even(fleet.settle(), leases);
            }
        }
    }

    fn assert_even(held: Vec<usize>, leases: u16) {
        assert_eq!(held.iter().sum::<usize>(), usize::from(leases));
        let (most, fewest) = (held.iter().max().unwrap(), held.iter().min().unwrap());
        assert!(most - fewest <= 1, "{held:?}");
    }

    #[test]
    fn what_a_silent_heir_leaves_free_is_claimed_when_patience_ends() {
        let mut fleet = Fleet::new(2);
        fleet.join("a");
        let live = ["a".into(), "b".into()];
        let survey = fleet.survey();
        let mut a = fleet.balances.remove(&NodeId::from("a")).unwrap();
        let first = a.plan(fleet.now, &live, &survey, &[]);
        assert_eq!(first.claim.len(), 1, "the other one is b's");
        let later = fleet.now + PATIENCE + Duration::from_millis(1);
        assert_eq!(a.plan(later, &live, &survey, &[]).claim.len(), 2);
    }

    #[test]
    fn only_the_living_of_the_role_count() {
        let member = |id: &str, role, heard_ms| Node {
            id: id.into(),
            role,
            heard_ms,
        };
        let members = [
            member("fresh", Role::Worker, 9_000),
            member("stale", Role::Worker, 7_999),
            member("other", Role::Gateway, 10_000),
        ];
        assert_eq!(
            live(&members, Role::Worker, 10_000, 2_000),
            ["fresh".into()]
        );
    }
}
