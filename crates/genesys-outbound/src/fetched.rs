use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::MessageId;

use crate::files::Had;

/// Messages that are remembered, well more than are in hand of all tenants; one that was handed to another replica stays among
/// them.
const REMEMBERED: usize = 16_384;

/// What came of the files of messages that are in hand.
#[derive(Default)]
pub(crate) struct Fetched {
    all: Mutex<HashMap<MessageId, Arc<Vec<Had>>>>,
}

impl Fetched {
    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Arc<Vec<Had>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, message: &MessageId) -> bool {
        self.lock().contains_key(message)
    }

    pub(crate) fn of(&self, message: &MessageId) -> Option<Arc<Vec<Had>>> {
        self.lock().get(message).cloned()
    }

    pub(crate) fn put(&self, message: &MessageId, files: &Arc<Vec<Had>>) {
        let mut all = self.lock();
        // What is forgotten is fetched again, which finds most of it in the store.
        if all.len() >= REMEMBERED
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
        all.insert(message.clone(), Arc::clone(files));
    }

    pub(crate) fn forget(&self, message: &MessageId) {
        self.lock().remove(message);
    }
}
