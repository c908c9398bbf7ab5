//! The least a durable relay can do: HTTP in, publish with confirm to a quorum queue, consume, HTTP out, ack. It looks at
//! nothing and remembers nothing, so what Causeway takes beyond it is the price of what Causeway promises.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const QUEUE: &str = "floor";
/// As many as one role of Causeway has in hand per partition, and its four partitions.
const PREFETCH: u16 = 1024;
const PERSISTENT: u8 = 2;

/// The half that takes: answers 200 when the broker has stored the body.
pub(crate) async fn take(address: SocketAddr, amqp: &str) -> anyhow::Result<()> {
    let (_connection, channel) = open(amqp).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let listener = TcpListener::bind(address).await.context("the floor's listener")?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let channel = channel.clone();
        let service = service_fn(move |request| {
            let channel = channel.clone();
            async move { Ok::<_, Infallible>(answer(store(&channel, request).await)) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The half that gives: posts what is stored, and acks it when it was taken.
pub(crate) async fn give(amqp: &str, url: &str) -> anyhow::Result<()> {
    let (_connection, channel) = open(amqp).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut consumer = channel
        .basic_consume(QUEUE.into(), QUEUE.into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    #[expect(clippy::disallowed_methods, reason = "the floor has nothing of the house, its client neither")]
    let client = reqwest::Client::builder().tcp_nodelay(true).no_proxy().build()?;
    let url: Arc<str> = url.into();
    let mut posts = JoinSet::new();
    loop {
        tokio::select! {
            delivery = consumer.next() => {
                let delivery = delivery.context("the broker ended the consumer")??;
                posts.spawn(post(client.clone(), Arc::clone(&url), delivery));
            }
            Some(posted) = posts.join_next() => posted??,
        }
    }
}

async fn open(amqp: &str) -> anyhow::Result<(Connection, Channel)> {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments).await?;
    Ok((connection, channel))
}

async fn store(channel: &Channel, request: Request<Incoming>) -> anyhow::Result<()> {
    let body = request.into_body().collect().await?.to_bytes();
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let confirmation = channel.basic_publish("".into(), QUEUE.into(), options, &body, properties).await?.await?;
    ensure!(matches!(confirmation, Confirmation::Ack(None)), "the broker did not store it");
    Ok(())
}

fn answer(stored: anyhow::Result<()>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    if stored.is_err() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn post(client: reqwest::Client, url: Arc<str>, mut delivery: Delivery) -> anyhow::Result<()> {
    let body = std::mem::take(&mut delivery.data);
    #[expect(clippy::disallowed_methods, reason = "the floor has nothing of the house, its client neither")]
    let response = client.post(&*url).body(body).send().await?.error_for_status()?;
    response.bytes().await?;
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}
