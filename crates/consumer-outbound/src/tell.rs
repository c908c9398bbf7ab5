//! What is told of a reply, and told again: a crash may come between an effect and its receipt.

use anyhow::anyhow;
use broker::{Failure, PublishError};
use ledger::{Effect, Outcome, Standing};
use model::{AgentReply, Receipt, ReceiptStatus};

use crate::handler::{Room, ledger_down};

impl Room {
    /// Whether it was done before; what became of it has been told again then.
    pub(crate) async fn was_done(&self, reply: &AgentReply) -> Result<bool, Failure> {
        let Standing::Done(outcome) = self.deps.ledger.standing(&Effect::from(reply)).await.map_err(ledger_down)?
        else {
            return Ok(false);
        };
        self.told_once_more(reply, &outcome).await.map(|()| true)
    }

    /// One that was given up is given up again, and tells so before its dead letter.
    pub(crate) async fn told_once_more(&self, reply: &AgentReply, outcome: &Outcome) -> Result<(), Failure> {
        if let Outcome::Failed { dead: Some(reason), .. } = outcome {
            let cause = anyhow!("channel {}: it was given up before, and comes again", reply.channel);
            return Err(Failure::GivenUp { reason: reason.clone(), cause });
        }
        self.tell_again(reply, outcome).await?;
        // The crash may have come after the record that matched them, and before they were told.
        if let Outcome::Sent { foreign_id: Some(id) } = outcome {
            let reports = self.deps.ledger.reported(&reply.provider, id).await.map_err(ledger_down)?;
            self.publish_reports(reports).await?;
        }
        Ok(())
    }

    /// What the provider had reported before this reply was recorded as sent.
    pub(crate) async fn publish_reports(&self, receipts: Vec<Receipt>) -> Result<(), Failure> {
        for receipt in receipts {
            self.tell(receipt).await?;
        }
        Ok(())
    }

    /// A receipt is as old as what it tells, and not as old as the reply: it would be given up as too old to be told.
    pub(crate) async fn tell(&self, receipt: Receipt) -> Result<(), Failure> {
        let receipt = receipt.told(self.deps.clock.now());
        self.deps.broker.publish(&receipt).await.map_err(not_published)
    }

    /// Publishes the receipt of an outcome, as often as asked: the crash may have come between the effect and its
    /// receipt, and the receipt ledger drops repeats.
    pub(crate) async fn tell_again(&self, reply: &AgentReply, outcome: &Outcome) -> Result<(), Failure> {
        let evidence = self.deps.directory.borrow().accepted_is_delivered(&reply.channel);
        match outcome {
            Outcome::Sent { .. } if evidence => self.tell(reply.accepted()).await,
            Outcome::Sent { .. } | Outcome::SameAs(_) | Outcome::Recorded => Ok(()),
            Outcome::Failed { code, reason, .. } => {
                self.publish_receipt(reply, ReceiptStatus::failed(*code, reason.clone())).await
            }
        }
    }

    pub(crate) async fn publish_receipt(&self, reply: &AgentReply, status: ReceiptStatus) -> Result<(), Failure> {
        self.tell(reply.receipt(status)).await
    }
}

pub(crate) fn not_published(error: PublishError) -> Failure {
    Failure::Unavailable { target: "broker".to_owned(), after: None, cause: error.into() }
}
