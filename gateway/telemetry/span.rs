//! Makes a span of a request: names and attributes by OpenTelemetry's conventions. Knows nothing of sending.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::trace::Trace;
use crate::access_log::{AccessRecord, cap};
use crate::provider::Kind;

/// What a span is made of.
pub(crate) struct SpanInput<'r> {
    /// The record of the access line.
    pub(crate) line: &'r AccessRecord,
    /// The path of the route.
    pub(crate) route: Option<&'r str>,
    /// The kind of the provider.
    pub(crate) kind: Option<&'static Kind>,
    /// The path at the provider, with its query.
    pub(crate) target: Option<&'r str>,
    /// The time from the request's head to the end of its response.
    pub(crate) took: Duration,
}

impl SpanInput<'_> {
    pub(super) fn span(&self, trace: &Trace, scope: InstrumentationScope) -> SpanData {
        let line = self.line;
        let name = match self.route {
            Some(route) => format!("{} {route}", line.method),
            None => line.method.to_owned(),
        };
        let start = SystemTime::from(line.time);
        let status = if line.status >= 500 {
            Status::error("")
        } else {
            Status::Unset
        };
        SpanData {
            span_context: trace.own.clone(),
            parent_span_id: trace.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: trace.parent.is_some(),
            span_kind: SpanKind::Server,
            name: name.into(),
            start_time: start,
            end_time: start + self.took,
            attributes: self.attributes(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: scope,
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = Attributes(Vec::with_capacity(24));
        self.add_request(&mut attributes);
        self.add_outcome(&mut attributes);
        self.add_model(&mut attributes);
        self.add_cost(&mut attributes);
        let seconds = self.line.first_byte_ms.map(|ms| ms / 1e3);
        attributes.add("keygate.time_to_first_byte", seconds);
        attributes.0
    }

    /// The request, and who handles it.
    fn add_request(&self, attributes: &mut Attributes) {
        let line = self.line;
        attributes.add("http.request.method", Some(line.method));
        attributes.add(
            "http.response.status_code",
            (line.status > 0).then_some(i64::from(line.status)),
        );
        attributes.add("http.route", self.route.map(str::to_owned));
        attributes.add(
            "url.path",
            Some(cap(&line.path).to_owned()).filter(|path| !path.is_empty()),
        );
        attributes.add(
            "keygate.request_id",
            Some(line.request_id.as_str().to_owned()),
        );
        attributes.add("keygate.key", line.key.as_deref().map(str::to_owned));
        attributes.add("keygate.route", line.route.as_deref().map(str::to_owned));
        attributes.add(
            "keygate.provider",
            line.provider.as_deref().map(str::to_owned),
        );
    }

    /// How the request failed, if it did.
    fn add_outcome(&self, attributes: &mut Attributes) {
        let line = self.line;
        attributes.add("keygate.refused_by", line.refused_by);
        attributes.add("keygate.aborted", line.client_left.then_some(true));
        let error = line
            .reason
            .map(str::to_owned)
            .or_else(|| (line.status >= 400).then(|| line.status.to_string()));
        attributes.add("error.type", error);
    }

    /// The model and its tokens, by the conventions for generative AI.
    fn add_model(&self, attributes: &mut Attributes) {
        let line = self.line;
        let provider = line.provider.as_deref();
        let system = self.kind.and_then(|kind| kind.telemetry.or(provider));
        attributes.add("gen_ai.provider.name", system.map(str::to_owned));
        attributes.add("gen_ai.operation.name", self.target.and_then(operation));
        attributes.add("gen_ai.response.model", line.model.clone());
        if let Some(usage) = &line.usage {
            for (name, tokens) in [
                ("gen_ai.usage.input_tokens", usage.input),
                ("gen_ai.usage.output_tokens", usage.output),
                ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
                (
                    "gen_ai.usage.cache_creation.input_tokens",
                    usage.cache_creation,
                ),
                ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
            ] {
                attributes.add(name, Some(i64::try_from(tokens).unwrap_or(i64::MAX)));
            }
            attributes.add("keygate.usage.estimated", line.estimated.then_some(true));
        }
    }

    /// The cost, if it is known.
    fn add_cost(&self, attributes: &mut Attributes) {
        if let Some(price) = &self.line.cost {
            attributes.add("keygate.cost", Some(price.cost.to_string()));
            attributes.add("keygate.currency", Some(price.currency.to_string()));
            attributes.add("keygate.cost_source", Some(price.source.name()));
        }
    }
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push(KeyValue::new(name, value));
        }
    }
}

/// The conventions' name for what a path at a provider does.
fn operation(target: &str) -> Option<&'static str> {
    let path = target.split('?').next().unwrap_or_default();
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    if ends(&["/chat/completions", "/messages", "/responses", "/chat"]) {
        Some("chat")
    } else if ends(&["/completions", "/generate"]) {
        Some("text_completion")
    } else if ends(&[
        "/embeddings",
        "/embed",
        ":embedContent",
        ":batchEmbedContents",
    ]) {
        Some("embeddings")
    } else if ends(&[":generateContent", ":streamGenerateContent"]) {
        Some("generate_content")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_known_by_its_path() {
        for (target, name) in [
            ("/v1/chat/completions", Some("chat")),
            (
                "/openai/deployments/d/chat/completions?api-version=1",
                Some("chat"),
            ),
            ("/v1/messages?beta=true", Some("chat")),
            ("/v1/messages/count_tokens", None),
            ("/v1/completions", Some("text_completion")),
            (
                "/v1beta/models/m:streamGenerateContent?alt=sse",
                Some("generate_content"),
            ),
            ("/v1/embeddings", Some("embeddings")),
            ("/v1/models", None),
        ] {
            assert_eq!(operation(target), name, "{target}");
        }
    }
}
