//! The generated objects as manifests: Gateway API or Gloo Mesh, with their guards, upstreams and keys.

use super::{Destination, KEYS, Narrowing, PathForm, RouteObject, Rule};

/// The path with an unnecessary escape.
fn escaped(path: &str) -> String {
    path.replace('x', "%78")
}

fn match_of(rule: &Rule, is_table: bool) -> String {
    let path = match (&rule.path, is_table) {
        (PathForm::Prefix(path), false) => format!("path: {{type: PathPrefix, value: '{path}'}}"),
        (PathForm::Exact(path), false) => format!("path: {{type: Exact, value: '{path}'}}"),
        (PathForm::Regex(path, behind), false) => {
            format!("path: {{type: RegularExpression, value: '{path}{behind}'}}")
        }
        (PathForm::Escaped(path), false) => {
            format!("path: {{type: PathPrefix, value: '{}'}}", escaped(path))
        }
        (PathForm::Prefix(path), true) => format!("uri: {{prefix: '{path}'}}"),
        (PathForm::Exact(path), true) => format!("uri: {{exact: '{path}'}}"),
        (PathForm::Regex(path, behind), true) => format!("uri: {{regex: '{path}{behind}'}}"),
        (PathForm::Escaped(path), true) => format!("uri: {{prefix: '{}'}}", escaped(path)),
    };
    let more = match (rule.narrowing, is_table) {
        (Narrowing::Nothing, _) => "",
        (Narrowing::Get, false) => ", method: GET",
        (Narrowing::Get, true) => ", method: {name: GET}",
        (Narrowing::Header, _) => ", headers: [{name: x-h, value: '1'}]",
        (Narrowing::Unknown, _) => ", tomorrow: {of: it}",
    };
    format!("{{{path}{more}}}")
}

/// A rule of an `HTTPRoute`.
fn rule_of(rule: &Rule) -> String {
    let destination = match rule.destination {
        Destination::To(up) => format!("backendRefs: [{{kind: Upstream, name: up{up}}}]"),
        Destination::Nowhere => "timeouts: {}".to_owned(),
        Destination::Service => "backendRefs: [{name: svc, port: 80}]".to_owned(),
        Destination::Redirect => {
            "filters: [{type: RequestRedirect, requestRedirect: {hostname: x}}]".to_owned()
        }
        Destination::Denied => {
            "filters: [{type: ExtensionRef, extensionRef: {kind: DirectResponse, name: d}}]"
                .to_owned()
        }
        Destination::Weightless => {
            "backendRefs: [{kind: Upstream, name: up0, weight: 0}]".to_owned()
        }
    };
    format!("{{matches: [{}], {destination}}}", match_of(rule, false))
}

/// An entry of a `RouteTable`.
fn entry_of(rule: &Rule, label: usize) -> String {
    let forward = |name: &str, weight: &str| {
        format!("forwardTo: {{destinations: [{{kind: UPSTREAM, ref: {{name: {name}}}{weight}}}]}}")
    };
    let destination = match rule.destination {
        Destination::To(up) => forward(&format!("up{up}"), ""),
        Destination::Nowhere => "forwardTo: {destinations: []}".to_owned(),
        Destination::Service => forward("svc", ""),
        Destination::Redirect => "redirectTo: {hostRedirect: x}".to_owned(),
        Destination::Denied => "directResponse: {status: 403}".to_owned(),
        Destination::Weightless => forward("up0", ", weight: 0"),
    };
    format!(
        "{{labels: {{l: o{label}}}, matchers: [{}], {destination}}}",
        match_of(rule, true)
    )
}

pub(super) fn manifests(objects: &[RouteObject]) -> String {
    let mut documents = Vec::new();
    for up in 0..2 {
        documents.push(format!("kind: Upstream\nmetadata: {{name: up{up}}}\nspec: {{ai: {{openai: {{customHost: {{host: 127.0.0.1, port: 900{up}}}, authToken: {{inline: sk-up{up}}}}}}}}}\n"));
    }
    for (team, key) in KEYS {
        documents.push(format!("kind: Secret\nmetadata: {{name: {team}, labels: {{team: {team}}}}}\ntype: extauth.solo.io/apikey\nstringData: {{api-key: {key}}}\n"));
    }
    for (number, object) in objects.iter().enumerate() {
        let hosts: Vec<String> = object
            .hosts
            .iter()
            .map(|host| format!("'{host}'"))
            .collect();
        let (hosts, rules) = (hosts.join(", "), object.rules.iter());
        documents.push(if object.is_table {
            let http: Vec<String> = rules.map(|rule| entry_of(rule, number)).collect();
            format!("kind: RouteTable\nmetadata: {{name: o{number}}}\nspec: {{hosts: [{hosts}], http: [{}]}}\n", http.join(", "))
        } else {
            let rules: Vec<String> = rules.map(rule_of).collect();
            format!("kind: HTTPRoute\nmetadata: {{name: o{number}, labels: {{l: o{number}}}}}\nspec: {{hostnames: [{hosts}], rules: [{}]}}\n", rules.join(", "))
        });
        if let Some(team) = object.guard {
            let (team, _) = KEYS[team];
            documents.push(format!("kind: ExtAuthPolicy\nmetadata: {{name: p{number}}}\nspec: {{applyToRoutes: [{{route: {{labels: {{l: o{number}}}}}}}], config: {{glooAuth: {{configs: [{{apiKeyAuth: {{headerName: api-key, k8sSecretApikeyStorage: {{labelSelector: {{team: {team}}}}}}}}}]}}}}}}\n"));
        }
    }
    documents.join("---\n")
}
