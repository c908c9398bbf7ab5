//! Effects begun and finished per second, each with its two fsyncs, by the number of lanes that share them; and what a
//! consumer's message costs the processor.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use ledger::contract::effect;
use ledger::{Begin, CameIn, Config, Effect, Incoming, Ledger, Outcome, SqliteConfig};
use model::{Address, Arrival, ArrivalPath, Family, MessageId, PhoneNumber, SessionId, TraceId};
use runtime::Clock;
use tokio::task::JoinSet;

const EACH: Duration = Duration::from_secs(3);
/// `USER_HZ`, which Linux has fixed for programs.
const TICKS_PER_SECOND: f64 = 100.0;

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for lanes in [1, 16, 128] {
        let before = cpu();
        let done = runtime.block_on(measure(lanes));
        let (rate, cost) = (done / EACH.as_secs_f64(), 1e6 * (cpu() - before) / done);
        println!("a text begun and finished, {lanes:>3} lanes  {rate:>8.0}/s  {cost:>6.1} us of a processor each");
    }
}

/// Processor time of this process until now, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the kernel tells");
    let fields = stat.rsplit_once(')').expect("a name").1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

async fn measure(lanes: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let config = Config::Sqlite(SqliteConfig { path, retain: Duration::from_secs(86_400), sole_owner: true });
    let ledger = Ledger::open(config, Clock::system()).await.expect("a ledger");
    let began = Instant::now();
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let ledger = ledger.clone();
        running.spawn(async move {
            let mut done = 0u32;
            while began.elapsed() < EACH {
                let incoming = incoming(lane, done);
                let effect = incoming.effect.clone();
                let CameIn::Begun(Begin::First(attempt)) = ledger.begin_incoming(incoming, EACH).await.expect("begun")
                else {
                    panic!("every text is new")
                };
                let outcome = Outcome::Sent { foreign_id: Some("7f3b9a0c".to_owned()) };
                ledger.finish(&effect, &attempt, outcome).await.expect("finished");
                done += 1;
            }
            done
        });
    }
    f64::from(running.join_all().await.into_iter().sum::<u32>())
}

/// The `number`th text of a lane's consumer.
fn incoming(lane: usize, number: u32) -> Incoming {
    let consumer = PhoneNumber::normalise(&format!("1312{:07}", 5_000_000 + lane), None).expect("it is a number");
    let id = MessageId::derive("in", &[&lane.to_string(), &number.to_string()]);
    let now = Clock::system().now();
    let effect = Effect {
        family: Family::Inbound,
        foreign_id: id.to_string(),
        trace: TraceId::new(uuid::Uuid::now_v7().to_string()),
        consumer: Address::Phone(consumer),
        received_at: now,
        parties: None,
        id,
        ..effect("")
    };
    Incoming {
        session: Some(SessionId::new(format!("session-{lane}"))),
        arrival: arrival(&effect.id, now),
        effect,
        can_look: true,
    }
}

fn arrival(id: &MessageId, now: Timestamp) -> Arrival {
    let fingerprint = MessageId::derive("print", &[id.as_str()]).to_string();
    Arrival { path: ArrivalPath::MessageEvent, fingerprint, sent_at: Some(now), beside: Vec::new() }
}
