//! One conversation: a consumer who writes and an agent who answers, each of whom goes on when the last was accepted.

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

use super::post::Post;
use super::reckoning::{Kind, Reckoning};
use crate::mail_in::HELP;
use crate::settings::{COMPANY, DOMAIN, MAIL_DOMAIN, USER};
use crate::town::Town;

/// Pauses between two messages of a conversation. Two of ten are brought a second time, or a third, although they were accepted;
/// one mail of ten, because its server hangs up before it is answered.
const PAUSE: std::ops::Range<u64> = 1_500..6_000;
/// For a webhook to be accepted while one failure follows the other.
const PATIENCE: Duration = Duration::from_secs(600);
/// How soon a provider that delivers at least once, or a mail server, tries again.
const AGAIN: Duration = Duration::from_millis(300);

pub(super) struct Load {
    consumer: String,
    kind: Kind,
    random: StdRng,
    town: Arc<Town>,
    post: Arc<Post>,
    reckoning: Arc<Reckoning>,
}

impl Load {
    pub(super) fn new(
        kind: Kind,
        conversation: u32,
        seed: u64,
        (town, post): (Arc<Town>, Arc<Post>),
        reckoning: Arc<Reckoning>,
    ) -> Self {
        let consumer = match kind {
            Kind::Text => format!("1312{:07}", 5_560_000 + conversation),
            Kind::Mail => format!("consumer{conversation}@consumer.example"),
        };
        Self { consumer, kind, random: StdRng::seed_from_u64(seed), town, post, reckoning }
    }

    /// Writes and answers until it is told to stop; what was begun is brought to its end.
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
            let hangs_up = self.random.random_range(0..10) == 0;
            tokio::join!(self.write(number, repeats, hangs_up), self.reply(number));
        }
    }

    async fn write(&self, number: u32, repeats: u32, mut hangs_up: bool) {
        let mut ticks = interval(AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // It is the same message each time.
        let at = self.town.now();
        while !self.bring(number, &at, std::mem::take(&mut hangs_up)).await {
            ticks.tick().await;
        }
        self.reckoning.written(self.kind, &self.consumer, number);
        for _ in 0..repeats {
            // Whatever the answer: it was accepted before.
            let _accepted = self.bring(number, &at, false).await;
        }
    }

    async fn bring(&self, number: u32, at: &str, hangs_up: bool) -> bool {
        match self.kind {
            Kind::Text => self.text(number, at).await,
            Kind::Mail => self.post.bring(&self.consumer, number, hangs_up).await,
        }
    }

    async fn text(&self, number: u32, at: &str) -> bool {
        let event = json!([{
            "id": format!("{}-{number}", self.consumer), "timestamp": at, "type": "sms", "domain": DOMAIN,
            "direction": "orig", "from-number": self.consumer, "terminating-number": COMPANY,
            "terminating-user-id": format!("{USER}@{DOMAIN}"), "text": number.to_string(), "status": "",
        }]);
        let body = Bytes::from(event.to_string());
        let answer = self.town.http.call(Method::POST, self.town.event_url(), HeaderMap::new(), body).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }

    async fn reply(&self, number: u32) {
        let text = number.to_string();
        let id = match self.kind {
            Kind::Text => self.town.reply(&self.consumer, &text),
            Kind::Mail => self.town.genesys.agent_sends_mail(MAIL_DOMAIN, HELP, &self.consumer, "An answer", &text),
        };
        let answered = self.town.genesys.webhook_settled(&id, PATIENCE).await;
        match answered.expect("the webhook is answered in the end") {
            WebhookState::Accepted => self.reckoning.answered(self.kind, &self.consumer, number, id),
            other => panic!("a webhook ended as {other:?}, though Genesys delivers again and again"),
        }
    }
}
