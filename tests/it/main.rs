//! Whole-house tests: the bridge between the simulated neighbours, in this process and as processes of its own.

mod architecture;
mod bad_input;
mod browser;
mod commands;
mod consent;
mod conversation;
mod crash;
mod crash_points;
mod dead_letters;
mod http;
mod neighbours;
mod netsapiens;
mod outage;
mod person;
mod private;
mod process;
mod proxy;
mod receipts;
mod rolling;
mod settings;
mod sick_neighbour;
mod texts;
mod torture;
mod town;
mod webdriver;
mod world;
