use std::collections::HashMap;
use std::ops::ControlFlow;

use model::Family;

use super::Store;
use super::command::{Command, Control, Kept, Move};
use crate::letters::no_such_queue;
use crate::{Letter, Sift, Sifted, Sifting};

/// Letters looked at, or moved, at a time, so that the thread is never long with them.
const PAGE: usize = 256;

impl Store {
    /// Shows the oldest dead letters of a family, in order.
    pub(crate) async fn letters(
        &self,
        family: Family,
        limit: usize,
        see: &mut (dyn FnMut(&Letter) -> ControlFlow<()> + Send),
    ) -> anyhow::Result<()> {
        let (mut left, mut after) = (limit, 0);
        while left > 0 {
            let page = self.page(family, after, left).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            left -= page.len();
            if page.iter().any(|kept| see(&kept.letter).is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// Walks through the oldest dead letters of a family and does what was decided about each, a page in one transaction.
    pub(crate) async fn sift(
        &self,
        family: Family,
        limit: usize,
        decisions: &HashMap<String, Sift>,
    ) -> anyhow::Result<Sifting> {
        let mut sifting = Sifting::default();
        let (mut left, mut after) = (limit, 0);
        while left > 0 {
            let page = match self.page(family, after, left).await {
                Ok(page) => page,
                Err(error) => {
                    sifting.stopped = Some(error.to_string());
                    break;
                }
            };
            let Some(last) = page.last() else { break };
            after = last.row;
            left -= page.len();
            let (moves, settled) = self.decided(&page, decisions);
            if !moves.is_empty()
                && let Err(error) = self.moved(family, moves).await
            {
                sifting.stopped = Some(error.to_string());
                break;
            }
            sifting.settled.extend(settled);
        }
        Ok(sifting)
    }

    async fn page(&self, family: Family, after: i64, left: usize) -> anyhow::Result<Vec<Kept>> {
        let limit = left.min(PAGE);
        self.ask(|answer| Command::Control(Control::Letters { family, after, limit, answer })).await?
    }

    async fn moved(&self, family: Family, moves: Vec<Move>) -> anyhow::Result<()> {
        self.ask(|answer| Command::Control(Control::Sift { family, moves, answer })).await?
    }

    /// What is to be done with the letters of a page, and what is to be told of each.
    fn decided(&self, page: &[Kept], decisions: &HashMap<String, Sift>) -> (Vec<Move>, Vec<(String, Sifted)>) {
        let (mut moves, mut settled) = (Vec::new(), Vec::new());
        for Kept { row, letter } in page {
            let report = &letter.report;
            let Some(decision) = decisions.get(&report.id) else { continue };
            let outcome = match (decision, self.queue_named(&report.from)) {
                (Sift::Discard, _) => {
                    moves.push(Move { row: *row, queue: None });
                    Sifted::Discarded
                }
                (Sift::Requeue, Some(queue)) => {
                    moves.push(Move { row: *row, queue: Some(queue) });
                    Sifted::Requeued(report.from.clone())
                }
                (Sift::Requeue, None) => no_such_queue(&report.from),
            };
            settled.push((report.id.clone(), outcome));
        }
        (moves, settled)
    }
}
