//! `LiteLLM`'s limits and budgets, as limits of keys and as `[[limits]]`.
//!
//! A limit is the same here, or a note says what differs. Where no period or amount is the same, the
//! one that is written allows less.

mod amount;
pub(super) mod config;
pub(super) mod deployment;
mod duration;
pub(super) mod holder;
pub(super) mod models;
mod number;
pub(super) mod owner;
pub(super) mod owners;
mod text;
