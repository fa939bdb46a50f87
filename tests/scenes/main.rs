//! Scenes: a real gateway between a client that sends raw bytes and a provider that records every byte that it receives,
//! all on free ports of loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "in a test, a panic is how it fails"
)]

mod addresses;
mod admin;
mod admission;
mod bodies;
mod clients_tls;
mod command;
mod configuration;
mod cors;
mod docs;
mod doctor;
mod egress_proxy;
mod escaped_separators;
mod explain;
mod first_steps;
mod header_names;
mod headers;
mod held_bodies;
mod import;
mod impostor;
mod init;
mod kept_connections;
mod key_commands;
mod keys;
mod kinds;
mod lab;
mod layers;
mod leaks;
mod lifecycle;
mod limit_commands;
mod limit_metrics;
mod limits;
mod linked_secrets;
mod log_reader;
mod media_prices;
mod meter_streams;
mod neighbours;
mod old_clients;
mod panics;
mod plain_http;
mod prices;
mod redirects;
mod reload;
mod requests_per_connection;
mod routes;
mod seeds;
mod service_manager;
mod settings;
mod stream;
mod successors;
mod support;
mod tls;
mod token_forms;
mod tracing;
mod trusted_proxies;
mod unexpected_switch;
mod unmetered;
mod unverified_clients;
mod upgrade;
mod upgrade_killed;
mod upstream;
mod upstream_http2;
mod usage;
mod usage_command;
mod websocket;
