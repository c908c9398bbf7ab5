//! The contract suite on the embedded broker.

use broker::{Config, EmbeddedConfig, contract};

macro_rules! embedded {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("broker");
                contract::$name(Config::Embedded(EmbeddedConfig { path })).await;
            }
        )*
    };
}

mod embedded {
    use super::*;
    broker::contract_suite!(embedded);
}
