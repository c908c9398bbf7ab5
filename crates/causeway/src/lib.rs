//! The bridge daemon: command line, configuration, wiring of the roles.

pub mod cli;
pub mod config;
pub mod house;
