//! A provider that takes connections and answers no read.

use http::{HeaderMap, Method};
use serde_json::json;

use crate::settings::{COMPANY, EVENT_SECRET, Queues};
use crate::world::World;

/// More than can be read one after the other, four at a time and a quarter of a minute each, while the test waits.
const TEXTS: u64 = 60;

/// Whoever waits for a session to be read is not held up by all the others who wait for theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_reach_their_agent_however_many_wait_to_be_read() {
    let world = World::on(Queues::Embedded).await;
    world.netsapiens.faults().reads_hang(true);
    for number in 0..TEXTS {
        let event = json!([{
            "object": "message", "direction": "orig", "type": "sms", "id": "", "from_num": format!("131255502{number:02}"),
            "dialed": COMPANY, "text": "told in full", "session_id": format!("{number:032}"),
            "timestamp": runtime::Clock::system().now().to_string(),
        }]);
        let url = format!("http://{}/netsapiens/crexendo/{EVENT_SECRET}", world.bridge());
        let answer = world.http.call(Method::POST, url, HeaderMap::new(), event.to_string().into()).await;
        assert_eq!(answer.expect("the bridge answers").status.as_u16(), 200);
    }
    world.agent_sees(TEXTS).await;
    world.netsapiens.faults().reads_hang(false);
    world.end().await;
}
