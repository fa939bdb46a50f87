//! wip
pub mod access_log;
pub mod document;
pub mod key;
pub mod metrics;
pub mod provider;
pub mod route;
pub mod secret;
pub mod template;
