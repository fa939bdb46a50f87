//! Providers of agentgateway that Gloo and kgateway do not have: Azure by its resource, and any API
//! by its formats.

use crate::import::fields::Fields;
use crate::import::provider::resource;

/// The path for all requests to Azure's API without versions.
const V1: &str = "/openai/v1/chat/completions";

/// Reads an Azure provider: the endpoint or the name of the resource, and a deployment if the API
/// has one in its paths.
pub(super) fn azure(fields: &mut Fields<'_>, settings: &mut Vec<(&'static str, String)>) {
    let named = fields.text("resourceName");
    let endpoint = match &named {
        Some(name) => of_resource(name, fields).unwrap_or_default(),
        None => resource(&fields.text("endpoint").unwrap_or_default()),
    };
    settings.push(("endpoint", endpoint));
    let version = fields.text("apiVersion").filter(|version| version != "v1");
    let deployment = fields.text("deploymentName");
    // For a resource, the model is the deployment.
    let deployment = match (&named, &version) {
        (Some(_), Some(_)) => deployment.or_else(|| fields.text("model")),
        _ => deployment,
    };
    let has_path = settings.iter().any(|(name, _)| *name == "default_endpoint");
    if deployment.is_none() && version.is_none() && !has_path {
        settings.push(("default_endpoint", V1.to_owned()));
    }
    settings.extend(deployment.map(|it| ("deployment", it)));
    settings.extend(version.map(|it| ("api_version", it)));
}

/// The endpoint of a resource; `None` if its name is invalid.
fn of_resource(name: &str, fields: &mut Fields<'_>) -> Option<String> {
    let is_label = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let kind = fields.text("resourceType").unwrap_or_default();
    let project = fields.text("projectName");
    match (kind.as_str(), project) {
        _ if !is_label(name) => None,
        ("OpenAI", _) => Some(format!("https://{name}.openai.azure.com")),
        ("Foundry", Some(project)) if is_label(&project) => Some(format!(
            "https://{name}.services.ai.azure.com/api/projects/{project}"
        )),
        _ => None,
    }
}

/// Reads a custom API, whose host is in another field. Returns the kind that it resembles, judging
/// by its formats.
pub(super) fn custom(
    fields: &mut Fields<'_>,
    settings: &mut Vec<(&'static str, String)>,
) -> &'static str {
    let mut formats: Vec<(String, Option<String>)> = Vec::new();
    for mut format in fields.list("formats") {
        let kind = format.text("type").unwrap_or_default();
        formats.push((kind, format.text("path")));
        format.finish();
    }
    let of = |kind: &str| formats.iter().find(|(known, _)| known == kind);
    let (kind, first) = match (of("Completions"), of("Messages")) {
        (Some(completions), _) => ("custom", Some(completions)),
        (None, Some(messages)) => ("anthropic", Some(messages)),
        (None, None) => ("custom", formats.first()),
    };
    if let Some((_, Some(path))) = first {
        settings.push(("default_endpoint", path.clone()));
    }
    let others = formats.iter().filter(|format| Some(*format) != first);
    if others.clone().any(|(_, path)| path.is_some()) {
        fields.lost(
            "formats",
            "keygate has one path for requests without one; clients name the others themselves",
        );
    }
    kind
}
