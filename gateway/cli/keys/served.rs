//! Whether the running gateway serves the key file as it is now.

use std::net::SocketAddr;

use serde::Serialize;

use super::key_file::KeyFileArgs;
use crate::cli::listener::Trusted;
use crate::cli::{admin_client, same_gateway};
use crate::config;
use crate::document::FileStamp;
use crate::runtime::printable;

/// The state of the key file at a running gateway.
#[derive(Serialize)]
pub(super) struct Served {
    /// Whether the gateway serves the file as it is now.
    current: bool,
    /// Whether everything that the file as it is now revokes is revoked.
    closed: bool,
    /// The number of the configuration that serves.
    generation: u64,
    /// The time of the last reload.
    at: String,
    /// Whether the last reload succeeded.
    ok: bool,
    /// The address of the admin listener that reported this.
    admin: SocketAddr,
    /// The key file of that gateway, if it is another one.
    reads: Option<String>,
}

impl Served {
    /// The state of the key file with this `stamp`; `None` if no running gateway responds, or if the command names a
    /// key file and no configuration.
    pub(super) fn find(key_file: &KeyFileArgs, stamp: &FileStamp) -> Option<Self> {
        if key_file.file.is_some() {
            return None;
        }
        let path = key_file.config.find().ok()?;
        let places = config::locations(&path).ok()?;
        let (status, _) = admin_client::read_status(places.admin).ok()?;
        Trusted::of(&path, &places).check().ok()?;
        let ours = same_gateway::reads_key_file(&status, &places.key_file);
        Some(Self {
            current: ours && status.key_file.mark == stamp.mark(),
            closed: ours && status.key_file.closed_mark == stamp.mark(),
            admin: places.admin,
            reads: (!ours).then_some(status.key_file.path),
            generation: status.generation,
            at: status.last_reload.at,
            ok: status.last_reload.ok,
        })
    }

    /// The state as a sentence for people.
    pub(super) fn describe(&self) -> String {
        let Self {
            current,
            closed,
            generation,
            at,
            admin,
            reads,
            ..
        } = self;
        if let Some(other) = reads {
            return format!(
                "Not served by the gateway at {admin}: that one reads {}. The gateway of this configuration does not \
                 run, or `server.admin` is not its address.",
                printable::line(other)
            );
        }
        if *current {
            return format!(
                "Served as it is since configuration {generation}, taken over at {at}."
            );
        }
        let less = if *closed {
            ", though what it closes is closed"
        } else {
            ""
        };
        format!(
            "NOT served as it is{less}: the gateway serves configuration {generation}, and its last reload was at \
             {at}. See `keygate status`."
        )
    }
}
