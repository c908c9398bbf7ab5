//! What is kept of one person.

use model::{Address, Group};

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

    /// The groups a consumer is a member of, as far as anything is kept of them: each is a conversation of its own.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn groups(&self, consumer: &Address) -> Result<Vec<Address>, LedgerError> {
        let Address::Phone(number) = consumer else { return Ok(Vec::new()) };
        let member = number.digits().to_owned();
        let names = match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::person::groups(book, &member)).await?,
            Inner::Postgres(store) => store.look(|caller| Look::Groups(member, caller)).await?,
        };
        Ok(names.iter().filter_map(|name| Group::parse(name).map(Address::Group)).collect())
    }

    /// Forgets whether a consumer wants to be written to, on every channel: they may be again. How much was recorded.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn forget_consents(&self, consumer: &Address) -> Result<u64, LedgerError> {
        let consumer = consumer.normalised().to_owned();
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::consents::forget(book, &consumer)).await,
            Inner::Postgres(store) => store.look(|caller| Look::ForgetConsents(consumer, caller)).await,
        }
    }

    /// Erases what is kept of a consumer, all of it or nothing. What was done stays known as done, without an address: no
    /// message is sent twice for it. Whether they want to be written to stays known.
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
