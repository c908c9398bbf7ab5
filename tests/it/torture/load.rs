//! One conversation: a consumer who texts and an agent who answers, each of whom goes on when the last was accepted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sandbox::WebhookState;
use serde_json::json;
use tokio::time::sleep_until;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::reckoning::Reckoning;
use crate::settings::{COMPANY, DOMAIN, USER};
use crate::town::Town;

/// Pauses between two messages of a conversation. Two texts of ten are posted a second time, or a third.
const PAUSE: std::ops::Range<u64> = 1_500..6_000;
/// For a webhook to be accepted while one failure follows the other.
const PATIENCE: Duration = Duration::from_secs(600);
/// How soon a provider that delivers at least once posts an event again.
const AGAIN: Duration = Duration::from_millis(300);

pub(super) struct Load {
    consumer: String,
    random: StdRng,
    town: Arc<Town>,
    reckoning: Arc<Reckoning>,
}

impl Load {
    pub(super) fn new(conversation: u32, seed: u64, town: Arc<Town>, reckoning: Arc<Reckoning>) -> Self {
        let consumer = format!("1312{:07}", 5_560_000 + conversation);
        Self { consumer, random: StdRng::seed_from_u64(seed), town, reckoning }
    }

    /// Texts and answers until it is told to stop; what was begun is brought to its end.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut number = 0;
        loop {
            let pause = Duration::from_millis(self.random.random_range(PAUSE));
            tokio::select! {
                () = sleep_until(Instant::now() + pause) => {}
                () = stop.cancelled() => return,
            }
            number += 1;
            let repeats = self.random.random_range(0..10u32).saturating_sub(7);
            tokio::join!(self.text(number, repeats), self.reply(number));
        }
    }

    async fn text(&self, number: u32, repeats: u32) {
        let event = json!([{
            "id": format!("{}-{number}", self.consumer), "timestamp": self.town.now(), "type": "sms", "domain": DOMAIN,
            "direction": "orig", "from-number": self.consumer, "terminating-number": COMPANY,
            "terminating-user-id": format!("{USER}@{DOMAIN}"), "text": number.to_string(), "status": "",
        }]);
        let body = Bytes::from(event.to_string());
        let mut ticks = interval(AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.post(&body).await {
            ticks.tick().await;
        }
        self.reckoning.text_accepted(&self.consumer, number);
        for _ in 0..repeats {
            // Whatever the answer: it was accepted before.
            let _accepted = self.post(&body).await;
        }
    }

    async fn post(&self, body: &Bytes) -> bool {
        let answer = self.town.http.call(Method::POST, self.town.event_url(), HeaderMap::new(), body.clone()).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }

    async fn reply(&self, number: u32) {
        let id = self.town.reply(&self.consumer, &number.to_string());
        let answered = self.town.genesys.webhook_settled(&id, PATIENCE).await;
        match answered.expect("the webhook is answered in the end") {
            WebhookState::Accepted => self.reckoning.reply_accepted(&self.consumer, number, id),
            other => panic!("a webhook ended as {other:?}, though Genesys delivers again and again"),
        }
    }
}
