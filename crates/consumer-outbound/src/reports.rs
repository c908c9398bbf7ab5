//! What providers say became of replies: the ledger knows which reply is meant, and what may still be told of it.

use broker::{Done, Failure};
use ledger::Reported;
use model::{DeliveryReport, ReceiptStatus};

use crate::handler::{Room, ledger_down};
use crate::mail::Evidence;

impl Room {
    pub(crate) async fn report(&self, report: &DeliveryReport) -> Result<Done, Failure> {
        let account = self.deps.directory.borrow().mail().account(&report.provider);
        // Where a report is not what makes a mail delivered, a good one is no news; a bad one always is.
        let is_news = match (&report.status, account) {
            (ReceiptStatus::Delivered, Some(account)) => account.evidence == Evidence::Reported,
            _ => true,
        };
        if !is_news {
            return Ok(Done::Duplicate);
        }
        let reported = self.deps.ledger.report(&report.provider, &report.foreign_id, report.status.clone()).await;
        match reported.map_err(ledger_down)? {
            Reported::Matched(receipt) => {
                tracing::info!(message.id = %receipt.id, channel = %receipt.channel, status = report.status.word(), "a provider reported what became of a reply");
                self.tell(*receipt).await?;
            }
            Reported::Held => {
                tracing::debug!(provider = %report.provider, "a report came before its reply; it is held")
            }
        }
        Ok(Done::Done)
    }
}
