//! A route as used. It knows no other routes and no request.

use std::sync::Arc;

use http::HeaderName;

use super::cors::Cors;
use super::pattern::{HostPattern, PathPrefix};
use super::target::Targets;
use crate::key::Selector;
use crate::limit::lists::Limits;
use crate::provider::{ErrorFormat, Stripped};
use crate::template::HeaderTemplate;
use crate::usage::Metering;

/// How a route's path relates to those of others. It is computed once, so that a request on a route without such
/// relations costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// The path of another route lies within its own.
    pub(crate) has_inner: bool,
    /// The path of the broadest route around this one that leads to the same endpoints, so that it would serve this
    /// route's requests if this route were removed.
    pub(crate) part_of: Option<String>,
}

/// Who may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Clients whose key the selector takes.
    Keys(Selector),
    /// Anyone, which the configuration must say in so many words: `auth = "none"`.
    Open,
}

/// A route as used.
pub struct Route {
    /// The route's name, which is a metric label.
    pub name: Arc<str>,
    /// The hosts whose requests it takes.
    pub(crate) hosts: Vec<HostPattern>,
    /// The paths that it takes.
    pub(crate) path: PathPrefix,
    /// Where its requests go.
    pub(crate) targets: Targets,
    /// The shape of the errors that its clients read.
    pub(crate) dialect: ErrorFormat,
    /// Who may use it.
    pub(crate) access: Access,
    /// The headers in which a client brings the provider's token itself (`token = "passthrough"`): no client key is
    /// looked for in them. Empty for other routes.
    pub(crate) token_headers: Vec<HeaderName>,
    /// Whether a connection may be upgraded to `WebSocket`.
    pub(crate) websocket: bool,
    /// The client's headers that the provider does not get.
    pub(crate) stripped: Stripped,
    /// Headers for the provider that are made from the client's.
    pub(crate) templates: Vec<HeaderTemplate>,
    /// The web pages that may read its responses; `None` leaves that to the provider.
    pub(crate) cors: Option<Cors>,
    /// How the usage of its streams is metered.
    pub(crate) metering: Metering,
    /// The models that have metrics of their own: names, or prefixes that end in `*`.
    pub(crate) metric_models: Vec<String>,
    /// The limits of the route, and those of the whole gateway that hold on it.
    pub(crate) limits: Arc<Limits>,
    /// How the route's path relates to those of others. `Router::build` fills it in.
    pub(crate) overlap: Overlap,
}

/// The metric label of the models that a route does not list.
const OTHER_MODELS: &str = "other";

impl Route {
    /// The metric label of `model`: the first entry of the route's list that takes it.
    pub(crate) fn model_label(&self, model: Option<&str>) -> &str {
        let takes = |entry: &&String| match (entry.strip_suffix('*'), model) {
            (_, None) => false,
            (Some(prefix), Some(model)) => model.starts_with(prefix),
            (None, Some(model)) => model == entry.as_str(),
        };
        let entry = self.metric_models.iter().find(takes);
        entry.map_or(OTHER_MODELS, String::as_str)
    }
}
