//! The embedded broker: one SQLite database, one thread that owns it, one process that may open it.
//!
//! Publishes, acks and dead letters that arrive while the disk is busy share the next commit, so the cost of an fsync
//! is divided by the number of callers. Leases live in memory with the cursor of their queue: only one process can have
//! the store open, so a lease that outlived its process would be void anyhow.

mod command;
mod database;
mod letters;
mod queue;
mod store;
mod subscription;
mod writer;

#[cfg(test)]
mod model_test;
#[cfg(test)]
mod tests;

pub(crate) use store::Store;
pub(crate) use subscription::Subscription;
