use std::time::Duration;

use runtime::Backoff;
use tokio::time::{Instant, sleep_until};

use crate::LedgerError;

/// Between two tries.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(2) };
/// For an outage of the database. A record that fails for longer is the trouble of its message.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Repeats the record of what was done abroad until the ledger has it. Until then this process alone knows: if it forgot, the
/// message would be found interrupted, and done again or told as lost.
///
/// # Errors
/// The last answer, after ten minutes.
pub async fn recorded<T, F>(mut record: impl FnMut() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let end = Instant::now() + LONGEST;
    let mut tries = 0;
    loop {
        match record().await {
            Err(error) if Instant::now() < end => {
                if tries == 0 {
                    tracing::warn!(%error, "what was done is not recorded yet; trying until the ledger has it");
                }
                tries += 1;
                sleep_until(Instant::now() + BACKOFF.wait(tries)).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> LedgerError {
        LedgerError::Unavailable("it is away".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_outlasts_an_outage() {
        let began = Instant::now();
        let back = began + Duration::from_secs(120);
        let answer = recorded(async || if Instant::now() < back { Err(down()) } else { Ok("recorded") }).await;
        assert_eq!(answer.unwrap(), "recorded");
        assert!(began.elapsed() < Duration::from_secs(123), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_never_be_recorded_is_given_back() {
        let began = Instant::now();
        let answer: Result<(), _> = recorded(async || Err(down())).await;
        assert!(matches!(answer, Err(LedgerError::Unavailable(_))));
        assert!(began.elapsed() >= LONGEST);
    }
}
