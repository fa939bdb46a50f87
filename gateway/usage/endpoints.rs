//! What the path of a request says: the model, where it is in the path, and whether the provider bills the request later
//! than its response.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The segments of a path at a provider, with or without a query.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The model that a path at the provider names, decoded and as it is written there. `None` if the model is in the body, or
/// the path is that of no call of a model.
///
/// - Azure: `/openai/deployments/NAME/...`, where the name is the deployment's
///   (<https://learn.microsoft.com/azure/ai-services/openai/reference>); and `OpenAI`'s earlier `/v1/engines/NAME/...`.
/// - Gemini and Vertex AI: `.../models/NAME:METHOD`, `.../tunedModels/NAME:METHOD`
///   (<https://ai.google.dev/api/generate-content>). A tuned model keeps its collection, because it is no other's name.
/// - Bedrock: `/model/NAME/...`, where the name may be an ARN
///   (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
/// - Hugging Face: `/hf-inference/models/OWNER/NAME`, of which only the rest behind `models/` is the name
///   (<https://huggingface.co/docs/inference-providers/providers/hf-inference>).
pub(crate) fn model_in_path(path: &str) -> Option<Cow<'_, str>> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let name = in_segment(path).or_else(|| in_collection(path))?;
    let decoded = percent_decode_str(name).decode_utf8().ok()?;
    Some(decoded).filter(|name| !name.is_empty())
}

/// The name in front of a method, behind a collection of models.
fn in_segment(path: &str) -> Option<&str> {
    let (resource, method) = path.rsplit_once(':')?;
    let (above, name) = resource.rsplit_once('/')?;
    let (_, collection) = above.rsplit_once('/')?;
    match collection {
        _ if method.contains('/') => None,
        "models" => Some(name),
        "tunedModels" => resource.get(above.len() - collection.len()..),
        _ => None,
    }
}

/// The name that is a segment of its own, with a call behind it.
fn in_collection(path: &str) -> Option<&str> {
    const COLLECTIONS: [(&str, &str); 4] = [
        ("openai", "deployments"),
        ("v1", "engines"),
        ("", "model"),
        ("hf-inference", "models"),
    ];
    let mut above = "";
    let mut rest = path.trim_start_matches('/');
    while let Some((segment, behind)) = rest.split_once('/') {
        let is_it = |(parent, name): &(&str, &str)| {
            above.eq_ignore_ascii_case(parent) && segment.eq_ignore_ascii_case(name)
        };
        match COLLECTIONS.iter().find(|known| is_it(known)) {
            Some(("hf-inference", _)) => return owner_and_name(behind),
            Some(_) => return behind.split_once('/').map(|(name, _)| name),
            None => (above, rest) = (segment, behind),
        }
    }
    None
}

/// The first two segments, or the only one.
fn owner_and_name(path: &str) -> Option<&str> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let end = slashes.nth(1).unwrap_or(path.len());
    path.get(..end)
}

/// Collections to which a POST starts something that the provider bills later, or elsewhere than in its response. Each
/// with a link to its API's documentation.
const LATER: [(&str, &str); 29] = [
    // OpenAI, Azure, Groq, xAI, Together; Anthropic's under `messages`; Cohere's.
    (
        "batches",
        "https://platform.openai.com/docs/api-reference/batch/create",
    ),
    (
        "fine_tuning",
        "https://platform.openai.com/docs/api-reference/fine-tuning/create",
    ),
    (
        "fine-tunes",
        "https://docs.together.ai/reference/post-fine-tunes",
    ),
    (
        "evals",
        "https://platform.openai.com/docs/api-reference/evals/createRun",
    ),
    // Runs of assistants report their usage on the run that has ended, which another request reads.
    (
        "runs",
        "https://platform.openai.com/docs/api-reference/runs/createRun",
    ),
    (
        "videos",
        "https://platform.openai.com/docs/api-reference/videos/create",
    ),
    // Storage is billed by the day, containers by the session.
    (
        "vector_stores",
        "https://platform.openai.com/docs/api-reference/vector-stores/create",
    ),
    (
        "containers",
        "https://platform.openai.com/docs/api-reference/containers/createContainers",
    ),
    // Credentials and calls with which a client speaks to the provider without the gateway.
    (
        "client_secrets",
        "https://platform.openai.com/docs/api-reference/realtime-sessions/create-realtime-client-secret",
    ),
    (
        "sessions",
        "https://platform.openai.com/docs/api-reference/realtime-sessions/create",
    ),
    (
        "transcription_sessions",
        "https://platform.openai.com/docs/api-reference/realtime-sessions/create-transcription",
    ),
    (
        "calls",
        "https://platform.openai.com/docs/api-reference/realtime/create-call",
    ),
    (
        "auth_tokens",
        "https://ai.google.dev/gemini-api/docs/ephemeral-tokens",
    ),
    ("tunedModels", "https://ai.google.dev/api/tuning"),
    // Billed by the hour.
    ("cachedContents", "https://ai.google.dev/api/caching"),
    (
        "fileSearchStores",
        "https://ai.google.dev/gemini-api/docs/file-search",
    ),
    (
        "batchPredictionJobs",
        "https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs",
    ),
    (
        "tuningJobs",
        "https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.tuningJobs",
    ),
    // Mistral: `/v1/batch/jobs`.
    ("batch", "https://docs.mistral.ai/api/endpoint/batch"),
    (
        "finetuning",
        "https://docs.cohere.com/v1/reference/createfinetunedmodel",
    ),
    (
        "embed-jobs",
        "https://docs.cohere.com/reference/create-embed-job",
    ),
    (
        "async-invoke",
        "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_StartAsyncInvoke.html",
    ),
    (
        "model-invocation-job",
        "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelInvocationJob.html",
    ),
    (
        "model-customization-jobs",
        "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelCustomizationJob.html",
    ),
    (
        "batchInferenceJobs",
        "https://docs.fireworks.ai/api-reference/create-batch-inference-job",
    ),
    (
        "supervisedFineTuningJobs",
        "https://docs.fireworks.ai/api-reference/create-supervised-fine-tuning-job",
    ),
    (
        "reinforcementFineTuningJobs",
        "https://docs.fireworks.ai/api-reference/create-reinforcement-fine-tuning-job",
    ),
    // Perplexity: `/async/chat/completions`.
    (
        "async",
        "https://docs.perplexity.ai/api-reference/async-chat-completions-post",
    ),
    ("predictions", "https://replicate.com/docs/reference/http"),
];

/// Google's methods that start something that is billed later.
const METHODS: [&str; 5] = [
    "batchGenerateContent",
    "asyncBatchEmbedContent",
    "predictLongRunning",
    "uploadToFileSearchStore",
    "importFile",
];

/// Collections behind which a name follows that somebody chose, which may be that of another collection.
const NAMED: [&str; 4] = ["deployments", "models", "model", "engines"];

/// The last segments of requests that end something, or refuse it.
const ENDING: [&str; 4] = ["cancel", "hangup", "reject", "search"];

/// Whether `method` on `path`, a path at the provider, is billed later than by its response, or elsewhere: batches,
/// fine-tunings, runs of assistants, videos, stored content, and credentials for calls past the gateway. Files are not
/// among them: storing one costs nothing, and what it is used for is a request of its own. That a response is made in the
/// background is said in the body ([`Asked`](super::Asked)).
pub(crate) fn bills_later(method: &str, path: &str) -> bool {
    if method != "POST" {
        return false;
    }
    let last = segments(path).last().unwrap_or_default();
    let method = last.rsplit_once(':').map(|(_, method)| method);
    if let Some(method) = method {
        return is_among(&METHODS, method);
    }
    !is_among(&ENDING, last) && collections(path).any(is_later)
}

/// The segments that are not names.
fn collections(path: &str) -> impl Iterator<Item = &str> {
    let names = std::iter::once("").chain(segments(path));
    let pairs = segments(path).zip(names);
    pairs.filter_map(|(segment, above)| (!is_among(&NAMED, above)).then_some(segment))
}

fn is_later(segment: &str) -> bool {
    LATER
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(segment))
}

/// Whether `name` is in `names`, in any case, as some providers take it.
fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_in_the_path_of_each_api_that_has_it_there() {
        for (path, model) in [
            (
                "/openai/deployments/gpt-5/chat/completions?api-version=1",
                "gpt-5",
            ),
            ("/OpenAI/Deployments/My-GPT/embeddings", "My-GPT"),
            ("/openai/deployments/model/embeddings", "model"),
            ("/v1/engines/davinci/completions", "davinci"),
            (
                "/v1beta/models/gemini-3-pro:generateContent?key=a/b:c",
                "gemini-3-pro",
            ),
            (
                "/v1/projects/p/locations/l/publishers/google/models/gemini-3:streamGenerateContent",
                "gemini-3",
            ),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-5@20260101:rawPredict",
                "claude-opus-5@20260101",
            ),
            (
                "/v1beta/tunedModels/mine-1:generateContent",
                "tunedModels/mine-1",
            ),
            (
                "/model/amazon.nova-pro-v1%3A0/converse",
                "amazon.nova-pro-v1:0",
            ),
            (
                "/model/amazon.nova-pro-v1:0/converse",
                "amazon.nova-pro-v1:0",
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ainference-profile%2Feu.a.b/invoke",
                "arn:aws:bedrock:eu:1:inference-profile/eu.a.b",
            ),
            ("/hf-inference/models/BAAI/bge-m3/pipeline/x", "BAAI/bge-m3"),
            ("/hf-inference/models/gpt2", "gpt2"),
        ] {
            assert_eq!(model_in_path(path).as_deref(), Some(model), "{path}");
        }
        for path in [
            "",
            "/",
            "/v1/chat/completions",
            "/v1/models/gpt-5",
            "/v1/models",
            "/openai/deployments/gpt-5",
            "/v1beta/files/a:download",
            "/v1beta/models/:generateContent",
            "/model//converse",
            "/model/%ff/converse",
            "/deployments/d/predictions",
            "/:",
            ":",
        ] {
            assert_eq!(model_in_path(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_billed_later_is_known_by_its_path() {
        for path in [
            "/v1/batches",
            "/openai/batches?api-version=1",
            "/v1/messages/batches",
            "/v2/batches/",
            "/v1/batches/b/requests",
            "/v1/batch/jobs",
            "/v1/fine_tuning/jobs",
            "/v1/fine_tuning/jobs/j/start",
            "/v1/fine-tunes",
            "/v1/finetuning/finetuned-models",
            "/v1/evals/e/runs",
            "/v1/threads/runs",
            "/v1/threads/t/runs",
            "/v1/threads/t/runs/r/submit_tool_outputs",
            "/v1/videos",
            "/v1/vector_stores/v/files",
            "/v1/realtime/client_secrets",
            "/openai/realtimeapi/sessions",
            "/v1/realtime/calls/c/accept",
            "/v1beta/models/gemini-3:batchGenerateContent",
            "/v1beta/models/e:asyncBatchEmbedContent",
            "/v1beta/models/veo-3:predictLongRunning",
            "/v1beta/tunedModels",
            "/v1beta/cachedContents",
            "/v1/projects/p/locations/l/batchPredictionJobs",
            "/v1/embed-jobs",
            "/async-invoke",
            "/model-invocation-job",
            "/async/chat/completions",
        ] {
            assert!(bills_later("POST", path), "{path}");
            assert!(!bills_later("GET", path), "{path}");
        }
        for path in [
            "",
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/responses",
            "/v1/files",
            "/v1/uploads",
            "/v1/batches/b/cancel",
            "/v1/realtime/calls/c/hangup",
            "/v1/vector_stores/v/search",
            "/openai/deployments/batches/embeddings",
            "/openai/deployments/runs/chat/completions",
            "/v1beta/models/gemini-3:generateContent",
            "/v1beta/tunedModels/m:generateContent",
            "/v1beta/models/videos:generateContent",
            "/model/batch/converse",
            "/v1/embeddings",
        ] {
            assert!(!bills_later("POST", path), "{path}");
        }
    }

    #[test]
    fn every_source_is_a_url() {
        for (name, source) in LATER {
            assert!(source.starts_with("https://"), "{name}");
        }
    }
}
