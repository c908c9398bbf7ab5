use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::config::ImapLimits;
use super::connect::ImapError;

/// The mail that could not be fetched, and what was tried.
///
/// Tries count only where they lie apart: a server that goes down and comes back breaks many connections over one good mail.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    mail: Option<Tried>,
}

#[derive(Debug, Clone, Copy)]
struct Tried {
    uid: u32,
    tries: u32,
    counted: Timestamp,
}

impl Trouble {
    /// Notes that a mail was not fetched.
    pub(super) fn failed(&mut self, uid: u32, error: &ImapError, now: Timestamp, limits: &ImapLimits) {
        if matches!(error, ImapError::Spool { .. } | ImapError::NotStored { .. }) {
            // That is our trouble and no mail's.
            return;
        }
        let known = self.mail.filter(|known| known.uid == uid);
        if known.is_some_and(|known| now.duration_since(known.counted) < signed(limits.apart)) {
            return;
        }
        let tries = known.map_or(0, |known| known.tries).saturating_add(1);
        self.mail = Some(Tried { uid, tries, counted: now });
    }

    /// Whether a mail was tried often enough. It is asked on a new connection that has answered, so that it was the mail.
    pub(super) fn is_hopeless(&self, uid: u32, limits: &ImapLimits) -> bool {
        self.mail.is_some_and(|known| known.uid == uid && known.tries >= limits.tries)
    }

    pub(super) fn is_about(&self, uid: u32) -> bool {
        self.mail.is_some_and(|known| known.uid == uid)
    }

    pub(super) const fn is_over(&mut self) {
        self.mail = None;
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tries_that_lie_apart_count() {
        let limits = ImapLimits::default();
        let broke = ImapError::Unavailable { target: "mail".to_owned(), what: "broke off the conversation" };
        let mut now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut trouble = Trouble::default();
        for round in 1..=limits.tries {
            assert!(!trouble.is_hopeless(7, &limits), "round {round}");
            for _ in 0..10 {
                trouble.failed(7, &broke, now, &limits);
                now += SignedDuration::from_secs(1);
            }
            now += signed(limits.apart);
        }
        assert!(trouble.is_hopeless(7, &limits) && !trouble.is_hopeless(8, &limits));
        trouble.failed(8, &broke, now, &limits);
        assert!(!trouble.is_hopeless(8, &limits), "another mail begins anew");
    }

    #[test]
    fn our_own_disk_is_no_mails_fault() {
        let limits = ImapLimits { tries: 1, ..ImapLimits::default() };
        let full = ImapError::Spool { target: "mail".to_owned(), kind: std::io::ErrorKind::StorageFull };
        let mut trouble = Trouble::default();
        trouble.failed(7, &full, Timestamp::UNIX_EPOCH, &limits);
        assert!(!trouble.is_hopeless(7, &limits));
    }
}
