//! Logging, metrics, two-stage shutdown, clock, the one HTTP client, HTTP server limits, admin listener.
//!
//! Nothing here knows what a message is.

pub mod admin;
mod alarm;
mod backoff;
mod clock;
mod health;
mod http_client;
pub mod http_server;
mod lenient_json;
pub mod logging;
mod metrics;
mod shutdown;
mod tasks;
mod tls;

pub use alarm::{Alarm, AlarmKind, Fading};
pub use backoff::Backoff;
pub use clock::{Clock, ManualClock};
pub use health::{AlarmReport, Component, ComponentReport, Health, Need, Report};
pub use http_client::{
    Answer, ByteStream, Call, CallError, HttpClient, HttpClientConfig, Reach, StreamedAnswer, StreamedCall,
    leads_inside, url_segment,
};
pub use lenient_json::{json_scalar, lenient_json};
pub use metrics::{Metrics, run_upkeep};
pub use shutdown::Shutdown;
pub use tasks::Tasks;
pub use tls::{CertificatesError, read_authorities, read_certificates};
