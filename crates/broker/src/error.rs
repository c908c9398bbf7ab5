/// The broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the embedded store.
    #[error(
        "{path}: another process has this store open (the embedded broker lives in one process; stop the other, or use RabbitMQ)"
    )]
    InUse {
        /// The store.
        path: String,
    },
    /// The embedded store cannot be read or written.
    #[error("{path}: {detail}")]
    Store {
        /// The store.
        path: String,
        /// What went wrong.
        detail: String,
    },
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
}

/// It is not certain that a message is stored.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection.
    #[error("the broker is not reachable: {0}")]
    Unavailable(String),
    /// The broker takes no messages: memory or disk alarm.
    #[error("the broker blocks publishers: {0}")]
    Blocked(String),
    /// No confirm in time.
    #[error("the broker did not confirm in time")]
    TimedOut,
    /// The broker refused it, or it could not be routed.
    #[error("the broker did not store it: {0}")]
    Refused(String),
}
