use std::time::Duration;

use super::{Book, arrivals, effects, sessions};
use crate::{ArrivalVerdict, Begin, Incoming, Outcome};

pub(crate) fn begin(book: &Book<'_>, incoming: &Incoming, lease: Duration) -> rusqlite::Result<Begin> {
    let Incoming { effect, arrival, session } = incoming;
    let begun = effects::begin(book, effect, lease)?;
    if let Begin::Done(_) = begun {
        return Ok(begun);
    }
    if let ArrivalVerdict::SameAs(other) = arrivals::arrive(book, &effect.channel, &effect.id, arrival)? {
        let outcome = Outcome::SameAs(other);
        if let Begin::First(attempt) = &begun {
            effects::finish(book, effect, attempt, &outcome)?;
        }
        return Ok(Begin::Done(outcome));
    }
    if let Some(session) = session {
        sessions::remember(book, &effect.channel, &effect.consumer, session)?;
    }
    Ok(begun)
}
