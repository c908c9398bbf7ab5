//! How soon messages flow again when RabbitMQ is back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use test_support::RabbitNode;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::bridge::{Causeway, INBOUND};
use super::far::{Desk, Far};
use super::load::{Door, Kind, Line};
use super::settings::{Books, Queues, Settings};

/// Long enough for everybody's waits between two tries to have grown.
const AWAY: Duration = Duration::from_secs(15);
const TIMES: usize = 3;
const SOON: Duration = Duration::from_secs(60);

/// Kills the broker and starts it again, a few times; from its first accepted connection to the first text that is through.
pub(crate) async fn measure(
    far: &Far,
    node: &mut RabbitNode,
    vhost: &str,
    folder: &Path,
) -> anyhow::Result<Vec<Duration>> {
    let settings = Settings { queues: Queues::RabbitMq(node.url(vhost)), books: Books::Sqlite, far: far.url() };
    let causeway = Causeway::new(settings, folder.to_owned())?;
    let bridge = causeway.start(INBOUND).await?;
    let (desk, door) = (far.desk(), bridge.door(Kind::Text));
    through(&desk, door).await.context("before the first restart")?;
    let mut took = Vec::new();
    for _ in 0..TIMES {
        tokio::task::block_in_place(|| node.kill());
        sleep_until(tokio::time::Instant::now() + AWAY).await;
        tokio::task::block_in_place(|| node.restart());
        let began = Instant::now();
        through(&desk, door).await?;
        took.push(began.elapsed());
    }
    bridge.end().await?;
    Ok(took)
}

/// Sends until something is accepted, as a provider does, and waits until it arrives.
async fn through(desk: &Arc<Desk>, door: Door) -> anyhow::Result<()> {
    let (told, mut arrivals) = mpsc::channel(1);
    let arriving = async {
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let number = desk.announced(told.clone());
            let posted = async { Line::open(door.address).await?.post(door.kind, number, 0).await };
            if posted.await.is_ok() {
                return arrivals.recv().await.context("the far sides are gone");
            }
        }
    };
    timeout(SOON, arriving).await.map_err(|_| anyhow!("nothing is through after {SOON:?}"))??;
    Ok(())
}
