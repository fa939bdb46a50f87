//! wip
pub mod access_log;
pub mod admin;
pub mod cli;
pub mod config;
pub mod document;
pub mod error;
pub mod key;
pub mod metrics;
pub mod provider;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod snapshot;
pub mod template;
