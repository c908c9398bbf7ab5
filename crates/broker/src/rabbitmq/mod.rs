//! RabbitMQ by lapin: names and properties of design 3.4, and a supervisor of our own for each of two connections.
//!
//! lapin's recovery is not used. What a connection or a channel meant is made anew on the next one, which is the only way in
//! which nothing that was thought to be settled can be thought so twice.

mod acks;
mod connection;
mod consuming;
mod greeting;
mod letters;
mod link;
mod presence;
mod properties;
mod publisher;
mod share;
mod subscription;
mod topology;

pub(crate) use connection::Connection;
pub(crate) use subscription::Subscription;

/// What lapin says of a failure; its errors hold no message.
fn told(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => error.to_string(),
        lapin::ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}
