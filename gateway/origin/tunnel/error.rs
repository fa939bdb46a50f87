//! Why a tunnel could not be opened, for the log and `keygate doctor`. A client's response says only that the provider
//! could not be reached.

use std::fmt;

use super::response::Failure;

/// Why a tunnel could not be opened. Of what the proxy sent, it holds only the status.
#[derive(Debug)]
pub(crate) struct TunnelError {
    pub(crate) proxy: String,
    pub(crate) target: String,
    pub(crate) has_token: bool,
    pub(crate) failure: Failure,
}

impl TunnelError {
    /// Whether the same proxy may open the tunnel a moment later: it failed, and did not refuse.
    pub(crate) fn may_pass(&self) -> bool {
        match &self.failure {
            Failure::Refused { status, .. } => *status >= 500,
            Failure::Closed | Failure::Io(_) => true,
            Failure::NoHttp | Failure::Late(_) => false,
        }
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, target, .. } = self;
        match &self.failure {
            // tinyproxy responds to wrong credentials with 401.
            Failure::Refused {
                status: status @ (401 | 407),
                challenge,
            } => {
                let wants = match challenge {
                    Some("Basic") | None => "",
                    Some(_) => ", by a scheme that keygate does not speak (Basic and Bearer alone)",
                };
                let cure = if self.has_token {
                    "it does not take those that it was given"
                } else {
                    "set `proxy_token` to where `user:password` is"
                };
                write!(
                    f,
                    "the proxy {proxy} wants credentials for {target} ({status}){wants}: {cure}"
                )
            }
            Failure::Refused { status: 403, .. } => write!(
                f,
                "the proxy {proxy} allows no tunnel to {target} (403): its own rules say which hosts and ports"
            ),
            Failure::Refused { status, .. } if *status >= 500 => {
                write!(f, "the proxy {proxy} could not reach {target} ({status})")
            }
            Failure::Refused { status, .. } => write!(
                f,
                "the proxy {proxy} responded with {status} to the request for a tunnel to {target}: is it a proxy that takes CONNECT?"
            ),
            Failure::Closed => write!(
                f,
                "the proxy {proxy} closed the connection on the request for a tunnel to {target}"
            ),
            Failure::NoHttp => write!(
                f,
                "the proxy {proxy} did not respond as an HTTP proxy to the request for a tunnel to {target}"
            ),
            Failure::Late(timeout) => write!(
                f,
                "the proxy {proxy} did not respond within {timeout:?} to the request for a tunnel to {target}"
            ),
            Failure::Io(error) => write!(
                f,
                "the proxy {proxy}, on the request for a tunnel to {target}: {error}"
            ),
        }
    }
}

impl std::error::Error for TunnelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.failure {
            Failure::Io(error) => Some(error),
            _ => None,
        }
    }
}
