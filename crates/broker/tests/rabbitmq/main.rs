//! The contract suite on RabbitMQ, and what is true of RabbitMQ alone.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics, in its helpers as well")]

mod admin;
mod cut;
mod faults;
mod management;
mod replicas;
mod topology;
mod wire;

use broker::{Config, RabbitMqConfig, contract};
use secrecy::SecretString;
use test_support::{Version, shared_vhost};

fn config(version: Version) -> Config {
    at(&shared_vhost(version))
}

fn at(url: &str) -> Config {
    Config::RabbitMq(RabbitMqConfig { url: SecretString::from(url), ca_file: None, declare: true, replicas: None })
}

macro_rules! on_4_3 {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                contract::$name(config(Version::V43)).await;
            }
        )*
    };
}

macro_rules! on_3_10 {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                contract::$name(config(Version::V310)).await;
            }
        )*
    };
}

mod rabbitmq_4_3 {
    use super::*;
    broker::contract_suite!(on_4_3);
}

mod rabbitmq_3_10 {
    use super::*;
    broker::contract_suite!(on_3_10);
}
