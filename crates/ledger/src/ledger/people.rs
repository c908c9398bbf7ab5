//! What is kept of one person.

use model::Address;

use super::{Inner, Ledger};
use crate::postgres::looks::Look;
use crate::{Erasure, LedgerError, Person, sqlite};

impl Ledger {
    /// Everything that is kept of a consumer.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn person(&self, consumer: &Address) -> Result<Person, LedgerError> {
        let consumer = consumer.normalised().to_owned();
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::person::person(book, &consumer)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Person(consumer, caller)).await,
        }
    }

    /// Erases what is kept of a consumer, all of it or nothing. What was done stays known as done, without an address: no
    /// message is sent twice for it.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn erase(&self, consumer: &Address) -> Result<Erasure, LedgerError> {
        let consumer = consumer.normalised().to_owned();
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::person::erase(book, &consumer)).await,
            Inner::Postgres(store) => store.erase(consumer).await,
        }
    }
}
