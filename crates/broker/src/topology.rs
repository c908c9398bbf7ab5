use std::fmt;

use model::{Family, NeighbourName};

/// The exchange every queue is bound to.
pub(crate) const EXCHANGE: &str = "causeway";

/// Which queues there are.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Per neighbour and family; fixed at installation.
    pub partitions: u16,
    /// Genesys tenants: families `inbound` and `receipts`.
    pub genesys: Vec<NeighbourName>,
    /// Providers: family `replies`.
    pub providers: Vec<NeighbourName>,
}

/// The name of a queue, which is its routing key as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueName {
    /// `causeway.{family}.{neighbour}.{partition}`
    Work {
        /// The family.
        family: Family,
        /// Whom it goes to.
        neighbour: NeighbourName,
        /// The partition.
        partition: u16,
    },
    /// `causeway.dead.{family}`
    Dead(Family),
}

impl fmt::Display for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work { family, neighbour, partition } => {
                write!(formatter, "{EXCHANGE}.{}.{neighbour}.{partition}", family.word())
            }
            Self::Dead(family) => write!(formatter, "{EXCHANGE}.dead.{}", family.word()),
        }
    }
}

impl Topology {
    /// Every work queue.
    pub fn work_queues(&self) -> Vec<QueueName> {
        let pairs = |family, neighbours: &[NeighbourName]| {
            let one = |neighbour: &NeighbourName| {
                let neighbour = neighbour.clone();
                (0..self.partitions).map(move |partition| QueueName::Work {
                    family,
                    neighbour: neighbour.clone(),
                    partition,
                })
            };
            neighbours.iter().flat_map(one).collect::<Vec<_>>()
        };
        let mut all = pairs(Family::Inbound, &self.genesys);
        all.extend(pairs(Family::Replies, &self.providers));
        all.extend(pairs(Family::Receipts, &self.genesys));
        all
    }

    /// The dead-letter queues.
    pub fn dead_queues() -> [QueueName; 3] {
        Family::ALL.map(QueueName::Dead)
    }
}
