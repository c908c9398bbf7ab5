//! Connections that are cut while something is asked over them.

use std::net::SocketAddr;
use std::time::Duration;

use broker::State;
use broker::contract::house::House;
use test_support::{Version, shared_vhost};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admin::DEADLINE;
use super::at;

/// How often every connection is cut.
const CUTS: u32 = 30;
/// As many ask at a time, all the time.
const ASKING: usize = 16;

/// A way to RabbitMQ that can be cut.
struct Way {
    cuts: watch::Sender<u32>,
    _tasks: JoinSet<()>,
}

impl Way {
    async fn to(broker: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                ways.spawn(async move {
                    let mut far = TcpStream::connect(broker).await.unwrap();
                    tokio::select! {
                        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _cut = cut.changed() => {}
                    }
                });
            }
        });
        (Self { cuts, _tasks: tasks }, here)
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Whoever asks as a connection dies hears of it, and goes on over the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_a_connection_that_dies_is_answered() {
    let url = shared_vhost(Version::V43);
    let parsed = url.parse::<lapin::uri::AMQPUri>().unwrap();
    let broker = SocketAddr::from(([127, 0, 0, 1], parsed.authority.port));
    let (way, here) = Way::to(broker).await;
    let through = url.replace(&broker.port().to_string(), &here.port().to_string());
    let house = House::open(&at(&through)).await;
    let (ended, over) = watch::channel(false);
    let mut asking = JoinSet::new();
    for _ in 0..ASKING {
        let (broker, over) = (house.broker.clone(), over.clone());
        asking.spawn(async move {
            let mut failed = 0;
            while !*over.borrow() {
                let asked = tokio::time::timeout(DEADLINE, broker.queues()).await;
                failed += u32::from(asked.expect("an answer, if only that there is none").is_err());
            }
            failed
        });
    }
    let mut state = house.broker.state();
    for _ in 0..CUTS {
        way.cut();
        let lost = tokio::time::timeout(DEADLINE, state.wait_for(|state| *state != State::Ready));
        lost.await.expect("the cut is noticed").unwrap();
        let back = tokio::time::timeout(DEADLINE, state.wait_for(|state| *state == State::Ready));
        back.await.expect("a connection again").unwrap();
    }
    ended.send_replace(true);
    let failed: u32 = asking.join_all().await.into_iter().sum();
    assert!(failed > 0, "some were cut off");
    let listed = tokio::time::timeout(Duration::from_secs(5), house.broker.queues()).await;
    assert!(listed.is_ok_and(|listed| listed.is_ok()), "and now all is well");
    house.empty().await;
}
