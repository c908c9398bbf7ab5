use std::time::Duration;

use super::{Book, Wants, arrivals, effects, sessions};
use crate::{ArrivalVerdict, Begin, CameIn, Incoming, Outcome};

pub(crate) fn wants(incoming: &Incoming) -> Wants {
    let Incoming { effect, arrival, session, .. } = incoming;
    let mut wants = effects::wants(effect);
    wants.and(&arrivals::wants(&effect.channel, &effect.id, arrival));
    if session.is_some() {
        wants.and(&sessions::wants(&effect.channel, &effect.consumer));
    }
    wants
}

/// The effect comes first: it alone can fail, and a job fails before it changes anything.
pub(crate) fn begin(book: &mut Book<'_>, incoming: &Incoming, lease: Duration) -> Result<CameIn, String> {
    let Incoming { effect, arrival, session, can_look } = incoming;
    if *can_look && let Some(row) = arrivals::like_a_row(book, &effect.channel, &effect.id, arrival) {
        return Ok(CameIn::Like(row));
    }
    let begun = effects::begin(book, effect, lease)?;
    if let Begin::Done(_) = begun {
        arrivals::see_again(book, &effect.channel, &effect.id, arrival);
        return Ok(CameIn::Begun(begun));
    }
    if let ArrivalVerdict::SameAs(other) = arrivals::arrive(book, &effect.channel, &effect.id, arrival)? {
        let outcome = Outcome::SameAs(other);
        if let Begin::First(attempt) = &begun {
            effects::finish(book, effect, attempt, &outcome)?;
        }
        return Ok(CameIn::Begun(Begin::Done(outcome)));
    }
    if let Some(session) = session {
        sessions::remember(book, &effect.channel, &effect.consumer, session)?;
    }
    Ok(CameIn::Begun(begun))
}
