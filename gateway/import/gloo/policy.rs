//! Imports the policies of Gloo Platform for routes: `ExtAuthPolicy` and `TransformationPolicy`.

use std::collections::BTreeMap;

use crate::import::error::ImportError;
use crate::import::fields::Fields;
use crate::import::gloo::auth::{UNSUPPORTED_AUTH, close_all};
use crate::import::gloo::draft::{Rank, RouteDraft};
use crate::import::gloo::inja::plain_template;
use crate::import::gloo::object::Object;
use crate::import::gloo::reader::Reader;
use crate::import::notes::Notes;
use crate::import::planned::PlannedExtractor;

/// Fields for targets that are not routes.
const NOT_ROUTES: [&str; 3] = [
    "applyToDestinations",
    "applyToWorkloads",
    "applyToRouteTables",
];

/// The routes that a policy of Gloo Platform names.
struct Selectors {
    /// The labels that a route must have, for each target.
    labels: Vec<BTreeMap<String, String>>,
    /// Whether the policy has targets that were not understood.
    unsure: bool,
}

impl Selectors {
    /// Takes the targets of a policy.
    fn take(spec: &mut Fields<'_>) -> Self {
        let (mut labels, mut unsure) = (Vec::new(), false);
        for mut target in spec.list("applyToRoutes") {
            match target.fields(&["route"]) {
                Some(mut route) => {
                    labels.push(route.texts("labels"));
                    route.finish();
                }
                None => unsure = true,
            }
            target.finish();
        }
        for other in NOT_ROUTES {
            if spec.value(&[other]).is_some() {
                spec.lost(other, "keygate has policies for routes only");
                unsure = true;
            }
        }
        if labels.is_empty() && !unsure {
            spec.lost("applyToRoutes", "it names no routes");
            unsure = true;
        }
        Self { labels, unsure }
    }

    /// Returns whether one of the targets is this route.
    fn takes(&self, route: &RouteDraft) -> bool {
        self.labels.iter().any(|labels| has_labels(route, labels))
    }

    /// Notes the targets that are no route in the files.
    fn note_unmatched(&self, spec: &Fields<'_>, routes: &[RouteDraft]) {
        for labels in &self.labels {
            if routes.iter().any(|route| has_labels(route, labels)) {
                continue;
            }
            let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            let pairs = pairs.join(", ");
            spec.lost(
                "applyToRoutes",
                format!("no route has the labels {pairs}: it does nothing"),
            );
        }
    }
}

fn has_labels(route: &RouteDraft, labels: &BTreeMap<String, String>) -> bool {
    labels
        .iter()
        .all(|(name, value)| route.labels.get(name) == Some(value))
}

/// The routes that a policy of Gloo Platform applies to. If its targets are not understood, returns
/// all routes and `true`, so that the policy can close them.
fn chosen<'f>(
    spec: &mut Fields<'_>,
    routes: &'f mut [RouteDraft],
) -> (Vec<&'f mut RouteDraft>, bool) {
    let selectors = Selectors::take(spec);
    selectors.note_unmatched(spec, routes);
    let takes = |route: &&mut RouteDraft| selectors.unsure || selectors.takes(route);
    (routes.iter_mut().filter(takes).collect(), selectors.unsure)
}

/// The places of the routes that a policy of Gloo Platform applies to. `None` if its targets are not
/// understood.
pub(super) fn chosen_places(spec: &mut Fields<'_>, routes: &[RouteDraft]) -> Option<Vec<usize>> {
    let selectors = Selectors::take(spec);
    selectors.note_unmatched(spec, routes);
    let places = routes.iter().enumerate();
    let places = places.filter(|(_, route)| selectors.takes(route));
    (!selectors.unsure).then(|| places.map(|(place, _)| place).collect())
}

impl Reader<'_> {
    /// Imports `ExtAuthPolicy`: who may use a route.
    pub(super) fn ext_auth(
        &mut self,
        object: &Object,
        routes: &mut [RouteDraft],
    ) -> Result<(), ImportError> {
        let Some((fields, mut spec)) = object.spec(self.notes) else {
            return Ok(());
        };
        let (routes, unsure) = chosen(&mut spec, routes);
        let routes = routes.into_iter().map(|found| (Rank::Route, found));
        let mut routes: Vec<(Rank, &mut RouteDraft)> = routes.collect();
        let mut understood = false;
        if let Some(mut config) = spec.fields(&["config"]) {
            // The service that checks keys; keygate checks them itself.
            config.value(&["server"]);
            if let Some(mut auth) = config.fields(&["glooAuth"]) {
                understood = self.require_keys(&mut auth, object, &mut routes)?;
                auth.finish();
            }
            understood &= config.unread().next().is_none();
            config.finish();
        }
        if unsure || !understood {
            close_all(&mut routes);
            spec.lost("config", UNSUPPORTED_AUTH);
        }
        spec.finish();
        fields.finish();
        Ok(())
    }
}

/// Imports `TransformationPolicy`: changes of requests.
pub(super) fn transformation(object: &Object, notes: &Notes, routes: &mut [RouteDraft]) {
    let Some((fields, mut spec)) = object.spec(notes) else {
        return;
    };
    let (mut routes, unsure) = chosen(&mut spec, routes);
    if unsure {
        routes.clear();
    }
    let Some(mut config) = spec.fields(&["config"]) else {
        return notes.lost(&object.title, "spec.config", "there is none");
    };
    config.discard("response", "keygate does not change responses");
    config.value(&["phase"]);
    if let Some(mut request) = config.fields(&["request"]) {
        if let Some(mut template) = request.fields(&["injaTemplate"]) {
            template.discard("body", "keygate does not change bodies");
            template.discard(
                "parseBodyBehavior",
                "keygate reads no body: audio and uploads pass",
            );
            template.value(&["passthrough"]);
            let extractors = extractors_of(&mut template);
            let headers = headers_of(&mut template);
            for found in &mut routes {
                found.route.extractors.extend(extractors.clone());
                for (name, text) in &headers {
                    let text = plain_template(text, &mut found.route.extractors);
                    found.route.headers.insert(name.clone(), text);
                }
            }
            template.finish();
        }
        request.finish();
    }
    config.finish();
    spec.finish();
    fields.finish();
}

/// The extractors of a template, by name.
fn extractors_of(template: &mut Fields<'_>) -> BTreeMap<String, PlannedExtractor> {
    let mut extractors = BTreeMap::new();
    if let Some(mut all) = template.fields(&["extractors"]) {
        for (name, mut extractor) in all.all() {
            let group = extractor.number("subgroup").unwrap_or(0);
            let regex = extractor.text("regex").unwrap_or_else(|| ".*".to_owned());
            match extractor.text("header") {
                Some(header) => {
                    let planned = PlannedExtractor::Header {
                        name: header,
                        regex,
                        group,
                    };
                    extractors.insert(name, planned);
                }
                None => extractor.lost("", "keygate extracts from headers only"),
            }
            extractor.finish();
        }
        all.finish();
    }
    extractors
}

/// The texts of a template's headers, by name.
fn headers_of(template: &mut Fields<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    if let Some(mut all) = template.fields(&["headers"]) {
        for (name, mut header) in all.all() {
            headers.insert(name, header.text("text").unwrap_or_default());
            header.finish();
        }
        all.finish();
    }
    headers
}
