//! The contract every kind of broker passes, as functions that take a configuration of an empty broker.
//!
//! Each is one promise of the design. A test binary makes a test of each with [`contract_suite`](crate::contract_suite).

mod delivery;
pub mod house;
mod letters;
mod stopping;
mod verdicts;

pub use delivery::*;
pub use letters::*;
pub use stopping::*;
pub use verdicts::*;

/// Calls a macro with the name of every function of the suite.
#[macro_export]
macro_rules! contract_suite {
    ($callback:ident) => {
        $callback! {
            publish_then_consume,
            queues_that_are_consumed_are_told,
            order_within_conversation,
            conversations_flow_past_a_waiting_one,
            prefetch_bounds_what_is_in_hand,
            large_body,
            many_concurrent_publishers,
            publish_to_unknown_queue_is_refused,
            queues_are_reported,
            topology_is_applied_twice,
            retry_keeps_order,
            attempts_are_exhausted,
            unavailable_spends_no_attempt,
            a_target_in_trouble_is_probed_by_one,
            a_refused_channel_holds_a_quarter,
            reject_goes_to_dead_letters_and_lane_goes_on,
            before_dead_letter_is_tried_until_it_succeeds,
            unreadable_body_is_quarantined,
            other_type_is_quarantined,
            panic_is_a_failed_try,
            expired_goes_to_dead,
            expiry_ends_a_wait,
            duplicate_is_settled,
            redelivered_after_handler_never_finished,
            redelivered_after_consumer_was_dropped,
            survives_reopen,
            hand_back_in_order_at_soft_stop,
            soft_stop_ends_a_wait,
            a_long_hold_is_handed_back_with_its_attempts,
            soft_stop_finishes_what_is_in_hand,
            settled_does_not_come_back_after_a_soft_stop,
            single_active_consumer,
            letters_are_seen_whole_and_stay,
            a_requeued_letter_is_consumed_again,
            letters_that_stay_keep_their_order,
            a_sift_that_stops_half_way_loses_nothing,
            many_letters_are_sifted_in_order,
            a_letter_of_no_queue_stays,
        }
    };
}
