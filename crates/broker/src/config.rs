use std::path::PathBuf;

use secrecy::SecretString;

/// Which broker.
#[derive(Debug, Clone)]
pub enum Config {
    /// RabbitMQ 3.10 or later.
    RabbitMq(RabbitMqConfig),
    /// A store on this machine's disk, for one process.
    Embedded(EmbeddedConfig),
}

/// RabbitMQ.
#[derive(Debug, Clone)]
pub struct RabbitMqConfig {
    /// `amqp://` or `amqps://`, with the virtual host.
    pub url: SecretString,
    /// Extra certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Declare what is missing; otherwise verify only.
    pub declare: bool,
    /// `x-quorum-initial-group-size`.
    pub replicas: Option<u16>,
}

/// The embedded broker.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// A folder; made where it is missing.
    pub path: PathBuf,
}
