//! The room where consumers' messages come in: provider event, or mail → queue `inbound`.
//!
//! The doors need the broker and nothing else to be up: an event is answered with 200 only after every message in it is
//! stored. The watch beside them also needs the ledger and the provider, and holds up no door.

mod catch_up;
mod directory;
mod leave;
mod mail;
mod media;
mod refused;
mod routes;
mod subscription;
mod watch;

pub use directory::{Channel, Directory};
pub use leave::{LeaveBook, LeaveRoom, leave_routes};
pub use mail::{Listen, MailChannel, MailProvider, MailRoom, MailWatch, listen, watch_mailbox};
pub use media::{Media, media_routes};
pub use refused::{Refusals, Waiting, write_refusals};
pub use routes::{Config, Room, routes};
pub use subscription::Subscribe;
pub use watch::{Watch, watch};
