use broker::QueueReport;
use clap::Args;
use http::Method;

use super::control::ask;
use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};

/// `causeway queues`
#[derive(Args)]
pub(super) struct Queues {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

impl Queues {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        let queues: Vec<QueueReport> = ask(&config, Method::GET, "/queues").await?;
        if self.json.json {
            return Ok(output::json(&queues)?);
        }
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let rows: Vec<Vec<String>> = queues
            .into_iter()
            .map(|queue| {
                let oldest = queue.oldest_seconds.map_or_else(|| "-".to_owned(), |age| format!("{age:.0} s"));
                vec![queue.queue, queue.ready.to_string(), number(queue.in_hand), number(queue.consumers), oldest]
            })
            .collect();
        output::table(&["QUEUE", "WAITING", "IN HAND", "CONSUMERS", "OLDEST"], &rows);
        Ok(())
    }
}
