use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;

use crate::Shutdown;

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// Seconds a message may take through the house: from a millisecond to the three days after which it expires.
const AGE_SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 86_400.0];
/// Seconds a call to a neighbour may take, up to the longest time-out.
const CALL_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// How often the recorder folds what it has gathered.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

impl Metrics {
    /// The metrics of this process, whose recorder is installed on first use.
    ///
    /// # Panics
    /// When something else installed a recorder: two would each see half of what happens.
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let age = Matcher::Full("causeway_message_age_seconds".to_owned());
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(age, &AGE_SECONDS)
                .and_then(|builder| builder.set_buckets(&CALL_SECONDS))
                .expect("the lists of buckets are not empty")
                .install_recorder()
                .expect("nothing else in this process installs a metrics recorder");
            metrics::gauge!("causeway_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            handle
        });
        Self { handle: handle.clone() }
    }

    /// The Prometheus text.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

/// Folds what was gathered, again and again, so that memory stays bounded when nobody scrapes.
///
/// # Errors
/// None; the signature is that of a task.
pub async fn run_upkeep(metrics: Metrics, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => metrics.handle.run_upkeep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_buckets_and_the_build_is_named() {
        let metrics = Metrics::install();
        metrics::histogram!("causeway_message_age_seconds", "queue" => "q").record(0.3);
        let text = Metrics::install().render();
        assert!(text.contains("causeway_message_age_seconds_bucket{queue=\"q\",le=\"0.5\"} 1"), "{text}");
        metrics::histogram!("causeway_upstream_seconds", "target" => "t").record(45.0);
        let text = metrics.render();
        assert!(text.contains("causeway_upstream_seconds_bucket{target=\"t\",le=\"60\"} 1"), "{text}");
        assert!(text.contains("causeway_upstream_seconds_bucket{target=\"t\",le=\"15\"} 0"), "{text}");
        assert!(
            text.contains(&format!("causeway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))),
            "{text}"
        );
    }

    #[tokio::test]
    async fn upkeep_ends_with_the_shutdown() {
        let shutdown = Shutdown::new();
        shutdown.begin();
        assert!(run_upkeep(Metrics::install(), shutdown).await.is_ok());
    }
}
