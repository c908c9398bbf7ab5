use std::collections::VecDeque;

/// How much of every list is remembered; counts go on.
pub(crate) const KEPT: usize = 50_000;

/// The newest of a list, and how many there ever were.
pub(crate) struct Kept<T> {
    items: VecDeque<T>,
    total: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), total: 0 }
    }
}

impl<T> Kept<T> {
    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() == KEPT {
            self.items.pop_front();
        }
        self.items.push_back(item);
        self.total += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.items.iter_mut()
    }
}

impl<T: Clone> Kept<T> {
    pub(crate) fn to_vec(&self) -> Vec<T> {
        self.items.iter().cloned().collect()
    }

    /// Without the first so many there ever were.
    pub(crate) fn after(&self, seen: u64) -> Vec<T> {
        let gone = self.total - self.items.len() as u64;
        let known = usize::try_from(seen.saturating_sub(gone)).unwrap_or(usize::MAX);
        self.items.iter().skip(known).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_the_count_stays() {
        let mut kept = Kept::default();
        for number in 0..KEPT + 3 {
            kept.push(number);
        }
        assert_eq!(kept.total(), KEPT as u64 + 3);
        assert_eq!(kept.to_vec(), (3..KEPT + 3).collect::<Vec<_>>());
        assert_eq!(kept.after(KEPT as u64 + 1), [KEPT + 1, KEPT + 2]);
        assert_eq!((kept.after(0).len(), kept.after(KEPT as u64 + 3).len()), (KEPT, 0));
    }
}
