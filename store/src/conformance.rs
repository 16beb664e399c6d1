//! The requirements on every backend, as one suite.
//!
//! A backend writes a [`Harness`] and one line, [`conformance_suite!`](crate::conformance_suite), which
//! makes a test of each case. A case that proves a rule of SPEC.md starts with the rule's ID.
//!
//! Compiled with the feature `conformance` alone, for tests.
#![allow(clippy::unwrap_used, reason = "a panic is how a case fails")]
#![allow(missing_docs, reason = "a case is what its name says")]

use std::time::Duration;

use async_trait::async_trait;
use outlast_protocol::{RoomName, Sid};

use crate::{NodeId, PartitionId, ShardId, SharedStore};

pub mod announcements;
pub mod audits;
pub mod commits;
pub mod fixture;
pub mod leases;
pub mod membership;
pub mod model;
pub mod records;
pub mod retention;
pub mod rooms;
pub mod terms;
pub mod topic;

/// A store under test, which was empty when this was made and is gone with it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Connects one more process to the store.
    async fn connect(&self) -> SharedStore;

    /// Lets time pass on the store's clock.
    async fn pass(&self, time: Duration);

    /// Makes every listener miss something, as a lost connection does.
    async fn interrupt(&self);

    /// Appends a text as it is, such as another version might have written (W6).
    async fn append_text(&self, partition: PartitionId, text: &str);

    /// Drops a room's log and nothing else of the room, as a store does that loses acknowledged writes (W14).
    async fn lose_log(&self, room: &RoomName);

    /// Loses a record, and leaves its entries in the indexes; or the other way round (S9).
    async fn lose(&self, shard: ShardId, sid: Sid, what: Lost);
}

/// The part of a record that a store loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The record itself.
    Record,
    /// Its deadline's entry.
    Due,
    /// Its entry under this owner.
    Owner(NodeId),
    /// Its entry in this group.
    Group(String),
}

/// Makes a test of each case of the suite: `conformance_suite!(expression)`, where the expression is a
/// future of a [`Harness`], made anew for each test.
#[macro_export]
macro_rules! conformance_suite {
    ($harness:expr) => {
        $crate::conformance_suite! { @cases $harness;
            topic:
                entries_come_back_in_order_behind_a_position,
                an_append_is_taken_as_a_whole,
                partitions_do_not_mix,
                of_many_appends_at_once_each_has_its_own_answer,
                who_arrives_sees_its_seat_as_of_the_last_commit,
                of_many_who_arrive_at_once_each_sees_its_own_seat,
                a_read_waits_for_the_next_entry,
                a_read_that_waits_in_vain_is_empty,
                s6_an_append_behind_its_deadline_is_too_late,
                w6_an_entry_that_cannot_be_read_comes_as_its_text,
                unusual_inputs_come_back_as_they_were;
            leases:
                w1_of_two_claimants_one_is_granted,
                w1_epochs_rise_with_each_grant,
                w1_a_lease_that_is_renewed_stays,
                w1_a_lease_that_is_not_renewed_is_lost,
                w4_a_lease_that_is_released_is_free_at_once_and_everybody_hears_it,
                a_release_with_an_old_epoch_does_nothing,
                leases_are_surveyed_and_renewed_in_the_order_of_the_question,
                w12_grants_that_came_to_nothing_are_counted_until_one_is_given_up,
                w12_notes_are_kept_for_whoever_comes_next,
                w1_a_fenced_holder_notes_nothing;
            commits:
                w1_a_fenced_writer_changes_nothing,
                w1_a_writer_that_was_never_granted_is_fenced,
                w2_a_repeated_commit_changes_nothing_and_is_announced_once,
                w2_a_commit_from_another_cursor_is_moved,
                w2_a_commit_behind_another_entry_is_moved,
                w2_a_commit_that_is_refused_halfway_changes_nothing,
                w2_of_two_commits_from_one_cursor_one_happens,
                w2_a_commit_moves_its_partition_alone,
                w12_a_commit_takes_the_notes_away_that_it_names,
                w6_inputs_that_nobody_could_read_are_kept_until_somebody_can;
            rooms:
                a_room_that_was_never_written_is_empty,
                w3_a_room_loads_as_its_snapshot_and_what_is_behind_it,
                w3_everything_of_a_room_is_of_one_moment,
                a1_seats_are_replaced_and_forgotten,
                e1_a_log_is_read_from_where_one_stands,
                w6_inputs_are_parked_and_taken_up,
                rooms_wake_the_earliest_first,
                unusual_payloads_come_back_as_they_were;
            retention:
                e2_what_is_trimmed_is_told_by_the_first_off,
                e2_the_last_entry_always_stays,
                w14_a_log_that_is_gone_is_told_from_one_that_never_was,
                e2_a_rooms_time_runs_out,
                e2_a_rooms_time_is_stopped;
            announcements:
                e1_news_of_a_room_are_heard_in_the_order_of_the_commits,
                a_room_that_nobody_asked_for_is_not_heard,
                every_subscriber_hears_a_room,
                within_a_commit_rooms_come_before_replies,
                replies_are_for_their_gateway_alone,
                signals_are_heard_and_not_kept,
                r4_news_name_the_entry_that_they_stand_behind,
                nudges_reach_one_or_everybody,
                e1_what_a_listener_missed_it_is_told_and_finds_in_the_log;
            records:
                a_record_is_read_as_it_was_written,
                of_many_reads_and_writes_at_once_each_has_its_own_answer,
                s3_of_two_writes_of_one_version_one_happens,
                s2_what_is_due_comes_the_longest_due_first,
                s7_the_records_of_a_gateway_are_found,
                s8_a_group_holds_no_more_than_its_bound,
                s8_of_many_who_want_the_last_place_one_gets_it,
                a_record_that_is_deleted_leaves_every_index;
            audits:
                s9_entries_whose_record_is_gone_are_removed,
                s9_entries_that_are_missing_are_put_back,
                s9_indexes_are_read_page_by_page,
                s9_who_holds_a_record_is_told;
            terms:
                l10_the_first_terms_count_until_others_are_decreed;
            membership:
                s7_a_node_is_known_from_its_first_heartbeat_on,
                s7_a_node_that_is_deregistered_is_unknown,
                s7_a_node_that_was_heard_since_is_not_deregistered;
            model:
                w2_rooms_are_what_their_commits_made_of_them,
                s3_records_and_their_indexes_are_what_the_writes_made_of_them;
        }
    };
    (@cases $harness:expr; $($area:ident: $($case:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let harness = $harness.await;
                $crate::conformance::$area::$case(&harness).await;
            }
        )+)+
    };
}
