//! A TCP proxy that fails as networks do: resets, black holes, and in front of RabbitMQ a connection that stops at a certain
//! frame. There it reads the frames of AMQP 0-9-1 and passes on whole ones; of anything else it passes on what comes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToBroker,
    ToBridge,
}

/// A method of AMQP 0-9-1 (section 1.8 of its reference: class 60 is `basic`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Also what a broker confirms a publish with.
    BasicAck,
    BasicPublish,
}

impl Method {
    const fn code(self) -> [u8; 4] {
        match self {
            Self::BasicPublish => [0, 60, 0, 40],
            Self::BasicAck => [0, 60, 0, 80],
        }
    }
}

/// What is spoken over the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Amqp,
    Any,
}

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Everything,
    /// A black hole: both ends stay connected, and nothing arrives.
    Nothing,
    /// Each connection until the first frame of this method, and nothing of that way from it on.
    Until(Way, Method),
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    order: Order,
    /// Connections of an earlier turn are reset.
    turn: u64,
    /// Of these the broker's end is closed, while the bridge's end hears nothing of it.
    severed: u64,
    /// Where new connections go.
    target: SocketAddr,
}

/// The proxy; it ends with this handle.
pub(crate) struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    stopped: watch::Receiver<u64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// In front of a broker on loopback.
    pub(crate) async fn start(port: u16) -> Self {
        Self::of(Speech::Amqp, port).await
    }

    /// In front of any other server on loopback.
    pub(crate) async fn plain(port: u16) -> Self {
        Self::of(Speech::Any, port).await
    }

    async fn of(speech: Speech, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        let (orders, seen) = watch::channel(Orders { order: Order::Everything, turn: 0, severed: 0, target });
        let (stops, stopped) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(speech, listener, seen, Arc::new(stops)));
        Self { address, orders, stopped, _tasks: tasks }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The broker's URL by way of this proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        let (before, after) = url.rsplit_once('@').expect("the URL names a user");
        let path = after.find('/').map_or("", |at| &after[at..]);
        format!("{before}@{}{path}", self.address)
    }

    fn order(&self, order: Order) {
        self.orders.send_modify(|orders| orders.order = order);
    }

    /// New connections go to another node; those there are stay where they are.
    pub(crate) fn point_at(&self, port: u16) {
        self.orders.send_modify(|orders| orders.target = SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// Everything passes again, also what was held.
    pub(crate) fn pass(&self) {
        self.order(Order::Everything);
    }

    /// Nothing passes any more, and nobody is told.
    pub(crate) fn swallow(&self) {
        self.order(Order::Nothing);
    }

    /// Holds each connection at its next frame of this method.
    pub(crate) fn hold(&self, way: Way, method: Method) {
        self.order(Order::Until(way, method));
    }

    /// Waits until a connection is held at a frame.
    pub(crate) async fn held(&self) {
        let mut stopped = self.stopped.clone();
        stopped.wait_for(|count| *count > 0).await.expect("the proxy runs");
    }

    /// Resets every connection.
    pub(crate) fn reset(&self) {
        self.orders.send_modify(|orders| orders.turn += 1);
    }

    /// Cuts the bridge off: the broker sees its connections close at once, the bridge sees nothing at all.
    pub(crate) fn sever(&self) {
        self.orders.send_modify(|orders| {
            orders.severed += 1;
            orders.order = Order::Nothing;
        });
    }
}

type Stops = Arc<watch::Sender<u64>>;

async fn accept(speech: Speech, listener: TcpListener, orders: watch::Receiver<Orders>, stops: Stops) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((bridge, _)) = accepted else { continue };
                connections.spawn(carry(speech, bridge, orders.clone(), Arc::clone(&stops)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection to its end, which is a reset, as from a crashed host or a firewall. What is no AMQP ends as its own ends
/// end it, so that the last thing said is heard.
async fn carry(speech: Speech, mut bridge: TcpStream, mut orders: watch::Receiver<Orders>, stops: Stops) {
    let Ok(born) = orders.wait_for(|orders| orders.order != Order::Nothing).await.map(|orders| *orders) else { return };
    let Ok(mut broker) = TcpStream::connect(born.target).await else { return };
    for stream in [&bridge, &broker] {
        let told = stream.set_nodelay(true);
        debug_assert!(told.is_ok(), "options of a fresh socket can be set");
    }
    if speech == Speech::Amqp {
        end_by_reset([&bridge, &broker]);
    }
    let over = async |mut orders: watch::Receiver<Orders>, ends: fn(&Orders, &Orders) -> bool| {
        // An error means that the proxy is gone, and its connections with it.
        let _gone = orders.wait_for(|now| ends(now, &born)).await;
    };
    let reset: fn(&Orders, &Orders) -> bool = |now, born| now.turn != born.turn;
    let (from_bridge, to_bridge) = bridge.split();
    let (from_broker, to_broker) = broker.split();
    tokio::select! {
        () = pump((speech, Way::ToBroker), from_bridge, to_broker, orders.clone(), &stops) => return,
        () = pump((speech, Way::ToBridge), from_broker, to_bridge, orders.clone(), &stops) => return,
        () = over(orders.clone(), reset) => return end_by_reset([&bridge, &broker]),
        () = over(orders.clone(), |now, born| now.severed != born.severed) => {}
    }
    drop(broker);
    over(orders, reset).await;
}

fn end_by_reset(streams: [&TcpStream; 2]) {
    for stream in streams {
        // A connection that is gone needs no reset.
        let _gone = stream.set_zero_linger();
    }
}

async fn pump(
    (speech, way): (Speech, Way),
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut orders: watch::Receiver<Orders>,
    stops: &Stops,
) {
    let (mut buffer, mut greeted) = (BytesMut::new(), way == Way::ToBridge);
    loop {
        while let Some(frame) = next(speech, &mut buffer, &mut greeted) {
            if gate(way, &frame, &mut orders, stops).await.is_err() || to.write_all(&frame).await.is_err() {
                return;
            }
        }
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// `AMQP` and four numbers, which a client says first.
const GREETING: usize = 8;
/// Type, channel and length of a frame before its payload, and the octet that ends it.
const HEADER: usize = 7;
const FRAME_END: usize = 1;

/// What may be passed on as one piece.
fn next(speech: Speech, buffer: &mut BytesMut, greeted: &mut bool) -> Option<BytesMut> {
    match speech {
        Speech::Amqp => next_frame(buffer, greeted),
        Speech::Any => (!buffer.is_empty()).then(|| buffer.split()),
    }
}

fn next_frame(buffer: &mut BytesMut, greeted: &mut bool) -> Option<BytesMut> {
    if !*greeted {
        *greeted = buffer.len() >= GREETING;
        return greeted.then(|| buffer.split_to(GREETING));
    }
    let mut length = buffer.get(3..HEADER)?;
    let whole = HEADER + usize::try_from(length.get_u32()).ok()? + FRAME_END;
    (buffer.len() >= whole).then(|| buffer.split_to(whole))
}

fn is(frame: &[u8], method: Method) -> bool {
    frame.first() == Some(&1) && frame.get(HEADER..HEADER + 4) == Some(&method.code())
}

/// Waits while a frame may not pass.
async fn gate(
    way: Way,
    frame: &[u8],
    orders: &mut watch::Receiver<Orders>,
    stops: &Stops,
) -> Result<(), watch::error::RecvError> {
    let holds = |orders: &Orders| match orders.order {
        Order::Everything => false,
        Order::Nothing => true,
        Order::Until(held, method) => held == way && is(frame, method),
    };
    if matches!(orders.borrow().order, Order::Until(..)) && holds(&orders.borrow()) {
        stops.send_modify(|count| *count += 1);
    }
    orders.wait_for(|now| !holds(now)).await.map(|_| ())
}
