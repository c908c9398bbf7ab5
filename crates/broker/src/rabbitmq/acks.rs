use std::collections::BTreeSet;

use crate::source::Tag;

/// Which deliveries of a channel are settled. RabbitMQ numbers them from 1.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Everything up to here is settled.
    low: u64,
    /// What is settled beyond.
    beyond: BTreeSet<u64>,
}

/// One `basic.ack`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u64,
    /// Whether everything before it is meant as well.
    pub(super) multiple: bool,
}

impl Window {
    /// The frames that settle these deliveries: one for the row from the start, and one each for what lies beyond a gap.
    ///
    /// A frame names a delivery that is settled now. One that names a delivery settled before closes the channel, even where
    /// `multiple` would let it mean others as well.
    pub(super) fn settle(&mut self, tags: &[Tag]) -> Vec<Frame> {
        let mut new: Vec<u64> = tags.iter().map(|tag| tag.0).collect();
        new.sort_unstable();
        self.beyond.extend(&new);
        while self.beyond.remove(&(self.low + 1)) {
            self.low += 1;
        }
        let (row, beyond) = new.split_at(new.partition_point(|tag| *tag <= self.low));
        let row = row.last().map(|tag| Frame { tag: *tag, multiple: true });
        row.into_iter().chain(beyond.iter().map(|tag| Frame { tag: *tag, multiple: false })).collect()
    }

    /// Whether anything was settled.
    pub(super) fn is_used(&self) -> bool {
        self.low > 0 || !self.beyond.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_one_frame_and_gaps_are_respected() {
        let mut window = Window::default();
        let mut settle = |tags: &[u64]| {
            let tags: Vec<Tag> = tags.iter().map(|tag| Tag(*tag)).collect();
            window.settle(&tags).into_iter().map(|frame| (frame.tag, frame.multiple)).collect::<Vec<_>>()
        };
        assert_eq!(settle(&[3, 1, 2]), [(3, true)]);
        assert_eq!(settle(&[6, 5]), [(5, false), (6, false)]);
        assert_eq!(settle(&[4]), [(4, true)], "the gap is closed, and 6 was settled before");
        assert_eq!(settle(&[]), []);
        assert_eq!(settle(&[7, 9]), [(7, true), (9, false)]);
        assert_eq!(settle(&[11, 8]), [(8, true), (11, false)]);
        assert_eq!(settle(&[12, 10]), [(12, true)]);
    }
}
