//! Real servers that tests start and kill, on ports and folders of their own.
//!
//! What belongs to a test ends with it: a server's process group is killed when its handle is dropped, and, should the test
//! process be killed itself, when the pipe it held is closed.

mod dovecot;
mod given;
mod postfix;
mod postgres;
mod rabbit;
mod s3;
mod server;

pub use dovecot::{Dovecot, IMAP_PASSWORD};
pub use given::own_nodes;
pub use postfix::Postfix;
pub use postgres::{GUARDED_USER, PostgresServer, postgres_sql, shared_postgres};
pub use rabbit::{RabbitCluster, RabbitNode, Version, shared_vhost};
pub use s3::S3Server;
pub use server::{free_port, wait_for};
