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
    pub(super) fn settle(&mut self, tags: &[Tag]) -> Vec<Frame> {
        let mut new: Vec<u64> = tags.iter().map(|tag| tag.0).collect();
        new.sort_unstable();
        self.beyond.extend(&new);
        let before = self.low;
        while self.beyond.remove(&(self.low + 1)) {
            self.low += 1;
        }
        let row = (self.low > before).then_some(Frame { tag: self.low, multiple: true });
        let beyond = new.into_iter().filter(|tag| *tag > self.low).map(|tag| Frame { tag, multiple: false });
        row.into_iter().chain(beyond).collect()
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
        assert_eq!(settle(&[4]), [(6, true)], "the gap is closed");
        assert_eq!(settle(&[]), []);
        assert_eq!(settle(&[7, 9]), [(7, true), (9, false)]);
    }
}
