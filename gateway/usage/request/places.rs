//! The members of a request's body that say what it asks for: one table for all APIs.
//!
//! Sources: `OpenAI` (<https://platform.openai.com/docs/api-reference>), Anthropic
//! (<https://docs.claude.com/en/api/messages>), Gemini (<https://ai.google.dev/api/generate-content>), Bedrock
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), Cohere
//! (<https://docs.cohere.com/reference/chat>), Ollama (<https://docs.ollama.com/api>), TGI
//! (<https://huggingface.github.io/text-generation-inference>), llama.cpp
//! (<https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md>), `DashScope`
//! (<https://www.alibabacloud.com/help/en/model-studio/qwen-api-reference>).

use crate::wire::json::scanner::Node;

/// What the members at a place say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Place {
    /// The body.
    Root,
    /// The model's name.
    Model,
    /// A list of models, of which the provider takes one.
    Models,
    // The caps of the output, each of which a provider may follow while it ignores the others.
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    MaxTokensToSample,
    MaxNewTokens,
    MaxGenLen,
    Predict,
    GenerationMax,
    InferenceMax,
    ParametersMax,
    OptionsMax,
    TitanMax,
    ExtraMax,
    // The objects that hold caps.
    GenerationConfig,
    InferenceConfig,
    Parameters,
    Options,
    TitanConfig,
    Extra,
    /// The most tokens of thinking, on top of the cap.
    ThinkingBudget,
    /// Whether the model thinks, on top of the cap.
    Thinking,
    /// How many outputs are made of one input.
    Outputs,
    /// Inputs of which each has outputs of its own, if it is a list; a stored one, if it is an object.
    Prompt,
    /// Inputs of which each has outputs of its own, if it is a list.
    Inputs,
    Stream,
    Background,
    /// The service tier, or an object with it.
    Tier,
    /// Messages, and all that is in them.
    Content,
    /// What kind of content it is.
    ContentType,
    /// The address of content, or the content itself in a `data:` URL.
    Url,
    /// Content that is not text: it is in the body, but its tokens are not bounded by its bytes.
    Media,
    /// Something that is not in the body, if there is any.
    Reference,
    /// Tools.
    Tools,
    /// What kind of tool it is.
    ToolType,
    /// A member whose name differs from that of another place in upper and lower case.
    Alike,
}

use Place::{
    Alike, Background, Content, ContentType, Extra, ExtraMax, GenerationConfig, GenerationMax,
    InferenceConfig, InferenceMax, Inputs, MaxCompletionTokens, MaxGenLen, MaxNewTokens,
    MaxOutputTokens, MaxTokens, MaxTokensToSample, Media, Model, Models, Options, OptionsMax,
    Outputs, Parameters, ParametersMax, Predict, Prompt, Reference, Root, Stream, Thinking,
    ThinkingBudget, Tier, TitanConfig, TitanMax, ToolType, Tools, Url,
};

/// All places, in the order of their numbers.
const ALL: [Place; 38] = [
    Root,
    Model,
    Models,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    MaxTokensToSample,
    MaxNewTokens,
    MaxGenLen,
    Predict,
    GenerationMax,
    InferenceMax,
    ParametersMax,
    OptionsMax,
    TitanMax,
    ExtraMax,
    GenerationConfig,
    InferenceConfig,
    Parameters,
    Options,
    TitanConfig,
    Extra,
    ThinkingBudget,
    Thinking,
    Outputs,
    Prompt,
    Inputs,
    Stream,
    Background,
    Tier,
    Content,
    ContentType,
    Url,
    Media,
    Reference,
    Tools,
    ToolType,
    Alike,
];

/// The members of an object, and what they say.
type Members = &'static [(&'static str, Place)];

const ROOT: Members = &[
    ("model", Model),
    // Bedrock's asynchronous calls.
    ("modelId", Model),
    // OpenRouter's fallbacks.
    ("models", Models),
    ("max_tokens", MaxTokens),
    ("max_completion_tokens", MaxCompletionTokens),
    ("max_output_tokens", MaxOutputTokens),
    ("max_tokens_to_sample", MaxTokensToSample),
    ("max_new_tokens", MaxNewTokens),
    ("max_gen_len", MaxGenLen),
    ("num_predict", Predict),
    ("n_predict", Predict),
    ("generationConfig", GenerationConfig),
    ("generation_config", GenerationConfig),
    ("inferenceConfig", InferenceConfig),
    ("parameters", Parameters),
    ("options", Options),
    ("textGenerationConfig", TitanConfig),
    ("additionalModelRequestFields", Extra),
    ("thinking_budget", ThinkingBudget),
    ("enable_thinking", Thinking),
    ("n", Outputs),
    ("best_of", Outputs),
    ("num_return_sequences", Outputs),
    ("num_generations", Outputs),
    ("prompt", Prompt),
    ("inputs", Inputs),
    ("instances", Inputs),
    ("stream", Stream),
    ("background", Background),
    ("service_tier", Tier),
    ("serviceTier", Tier),
    // Anthropic's fast mode, which is priced like a tier.
    ("speed", Tier),
    ("messages", Content),
    ("input", Content),
    ("system", Content),
    ("instructions", Content),
    ("contents", Content),
    ("systemInstruction", Content),
    ("system_instruction", Content),
    ("images", Media),
    ("image", Media),
    ("previous_response_id", Reference),
    ("previous_interaction_id", Reference),
    ("conversation", Reference),
    ("conversation_id", Reference),
    ("cachedContent", Reference),
    ("cached_content", Reference),
    ("agent", Reference),
    ("assistant_id", Reference),
    ("container", Reference),
    ("mcp_servers", Reference),
    ("web_search_options", Reference),
    ("search_parameters", Reference),
    ("enable_search", Reference),
    ("connectors", Reference),
    ("plugins", Reference),
    ("input_file_id", Reference),
    ("tools", Tools),
    ("toolConfig", Tools),
];

const GENERATION: Members = &[
    ("maxOutputTokens", GenerationMax),
    ("max_output_tokens", GenerationMax),
    ("candidateCount", Outputs),
    ("candidate_count", Outputs),
];

const INFERENCE: Members = &[
    ("maxTokens", InferenceMax),
    ("max_new_tokens", InferenceMax),
];

const PARAMETERS: Members = &[
    ("max_new_tokens", ParametersMax),
    ("maxOutputTokens", ParametersMax),
    ("max_tokens", ParametersMax),
    ("max_length", ParametersMax),
    ("thinking_budget", ThinkingBudget),
    ("enable_thinking", Thinking),
    ("enable_search", Reference),
    ("n", Outputs),
    ("best_of", Outputs),
    ("num_return_sequences", Outputs),
    ("candidateCount", Outputs),
    ("sampleCount", Outputs),
];

const OPTIONS: Members = &[("num_predict", OptionsMax)];

const TITAN: Members = &[("maxTokenCount", TitanMax)];

const EXTRA: Members = &[("max_tokens", ExtraMax), ("maxTokens", ExtraMax)];

const TIER: Members = &[("type", Tier)];

const CONTENT: Members = &[
    ("content", Content),
    ("parts", Content),
    ("source", Content),
    ("output", Content),
    ("toolResult", Content),
    ("type", ContentType),
    ("image_url", Url),
    ("imageUrl", Url),
    ("video_url", Url),
    ("audio_url", Url),
    ("document_url", Url),
    ("file_url", Url),
    ("url", Url),
    ("uri", Url),
    ("image", Media),
    ("images", Media),
    ("video", Media),
    ("audio", Media),
    ("document", Media),
    ("input_audio", Media),
    ("inlineData", Media),
    ("inline_data", Media),
    ("file", Content),
    ("file_id", Reference),
    ("fileData", Reference),
    // Gemini's reference, and OpenAI's file in the body: the tokens of neither are bounded by its bytes.
    ("file_data", Reference),
    ("fileUri", Reference),
    ("file_uri", Reference),
    ("s3Location", Reference),
];

const URL: Members = &[("url", Url)];

const TOOLS: Members = &[
    ("type", ToolType),
    ("tools", Tools),
    // Gemini's, which are named by a member instead of a type.
    ("googleSearch", Reference),
    ("google_search", Reference),
    ("googleSearchRetrieval", Reference),
    ("google_search_retrieval", Reference),
    ("enterpriseWebSearch", Reference),
    ("enterprise_web_search", Reference),
    ("codeExecution", Reference),
    ("code_execution", Reference),
    ("urlContext", Reference),
    ("url_context", Reference),
    ("fileSearch", Reference),
    ("file_search", Reference),
    ("googleMaps", Reference),
    ("google_maps", Reference),
    ("retrieval", Reference),
    ("mcpServers", Reference),
    ("mcp_servers", Reference),
    // Bedrock's.
    ("systemTool", Reference),
];

impl Place {
    /// The place of a node.
    pub(super) fn of(node: Node) -> Self {
        ALL.get(usize::from(node.0)).copied().unwrap_or(Root)
    }

    /// The node of the place.
    pub(super) const fn node(self) -> Node {
        Node(self as u8)
    }

    /// Whether it is a cap of the output.
    pub(super) fn is_cap(self) -> bool {
        (MaxTokens as u8..=ExtraMax as u8).contains(&(self as u8))
    }

    /// Whether it is an object that holds caps.
    pub(super) fn holds_caps(self) -> bool {
        (GenerationConfig as u8..=Extra as u8).contains(&(self as u8))
    }

    /// Whether the elements of an array here are read as if each stood there itself.
    pub(super) fn is_list(self) -> bool {
        matches!(
            self,
            Models | Prompt | Inputs | Content | Media | Reference | Tools
        )
    }

    /// The place as one bit.
    pub(super) fn bit(self) -> u64 {
        1 << self as u8
    }

    fn members(self) -> Members {
        match self {
            Root => ROOT,
            GenerationConfig => GENERATION,
            InferenceConfig => INFERENCE,
            Parameters => PARAMETERS,
            Options => OPTIONS,
            TitanConfig => TITAN,
            Extra => EXTRA,
            Tier => TIER,
            Content | Media => CONTENT,
            Url => URL,
            Tools => TOOLS,
            _ => &[],
        }
    }

    /// The place of the member with this name.
    ///
    /// Some providers (those in Go, with `encoding/json`) take a name in any case, as well as with `ſ` for `s` and the
    /// Kelvin sign for `k`, and the last of several spellings counts. Such names lead to [`Place::Alike`].
    pub(super) fn member(self, name: &[u8]) -> Option<Self> {
        let members = self.members();
        if !name.is_ascii() {
            return is_folded(name, members).then_some(Alike);
        }
        let same =
            |known: &str| known.len() == name.len() && known.as_bytes().eq_ignore_ascii_case(name);
        let is_exact = |known: &str| known.as_bytes() == name;
        let mut found = members.iter().filter(|(known, _)| same(known));
        let (known, place) = found.next()?;
        if is_exact(known) {
            return Some(*place);
        }
        let exact = found.find(|(known, _)| is_exact(known));
        Some(exact.map_or(Alike, |(_, place)| *place))
    }
}

/// The caps that the API of `path`, a path at the provider, has, as [bits](Place::bit); all caps, if the path is not known.
///
/// A provider that ignores members it does not know ignores the caps of other APIs.
pub(super) fn caps_at(path: &str) -> u64 {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = path.trim_end_matches('/').to_ascii_lowercase();
    let is_it = |(end, _): &&(&str, &[Place])| {
        let before = path.strip_suffix(end);
        before.is_some_and(|before| end.starts_with(':') || before.ends_with('/'))
    };
    let caps = APIS.iter().find(is_it).map(|(_, caps)| caps);
    caps.map_or(u64::MAX, |caps| {
        caps.iter().fold(0, |all, cap| all | cap.bit())
    })
}

/// The ends of paths in lower case, longer ones first, and the caps that an API has there.
const APIS: [(&str, &[Place]); 13] = [
    ("chat/completions", &[MaxTokens, MaxCompletionTokens]),
    ("completions", &[MaxTokens]),
    ("responses", &[MaxOutputTokens]),
    ("messages", &[MaxTokens]),
    ("complete", &[MaxTokensToSample]),
    (":generatecontent", &[GenerationMax]),
    (":streamgeneratecontent", &[GenerationMax]),
    ("interactions", &[GenerationMax]),
    ("converse", &[InferenceMax]),
    ("converse-stream", &[InferenceMax]),
    ("api/chat", &[OptionsMax]),
    ("api/generate", &[OptionsMax]),
    // Cohere's.
    ("chat", &[MaxTokens]),
];

/// Whether a name that is not ASCII is one of `members` for a parser that folds `ſ` and the Kelvin sign.
fn is_folded(name: &[u8], members: Members) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let folded = name.replace('\u{17f}', "s").replace('\u{212a}', "k");
    members
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(&folded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_by_its_node_and_every_name_by_its_place() {
        for (number, place) in ALL.iter().enumerate() {
            assert_eq!(usize::from(place.node().0), number);
            assert_eq!(Place::of(place.node()), *place);
            for (name, member) in place.members() {
                assert_eq!(place.member(name.as_bytes()), Some(*member), "{name}");
                let upper = name.to_uppercase();
                assert_eq!(place.member(upper.as_bytes()), Some(Alike), "{name}");
            }
        }
        assert_eq!(ALL.len(), Alike as usize + 1);
        assert!(MaxTokens.is_cap() && ExtraMax.is_cap() && !GenerationConfig.is_cap());
        assert!(Extra.holds_caps() && !ThinkingBudget.holds_caps() && !Models.is_cap());
    }

    #[test]
    fn the_caps_of_an_api_are_known_by_its_path() {
        let has = |path: &str, cap: Place| caps_at(path) & cap.bit() != 0;
        for (path, cap) in [
            ("/v1/chat/completions", MaxCompletionTokens),
            (
                "/openai/deployments/d/Chat/Completions?api-version=1",
                MaxTokens,
            ),
            ("/v1/completions/", MaxTokens),
            ("/v1/responses", MaxOutputTokens),
            ("/v1/messages", MaxTokens),
            (
                "/v1beta/models/m:streamGenerateContent?alt=sse",
                GenerationMax,
            ),
            ("/model/m/converse", InferenceMax),
            ("/api/chat", OptionsMax),
            ("/v2/chat", MaxTokens),
        ] {
            assert!(has(path, cap), "{path}");
            assert!(!has(path, MaxNewTokens), "{path}");
        }
        assert!(!has("/v1/messages", MaxOutputTokens) && !has("/api/chat", MaxTokens));
        for path in [
            "",
            "/generate",
            "/model/m/invoke",
            "/v1/mycompletions",
            "/x:rawPredict",
        ] {
            assert_eq!(caps_at(path), u64::MAX, "{path}");
        }
    }

    #[test]
    fn a_name_that_some_parsers_fold_is_alike() {
        for name in [
            "max_to\u{212a}ens",
            "max_token\u{17f}",
            "\u{17f}tream",
            "Model",
        ] {
            assert_eq!(Root.member(name.as_bytes()), Some(Alike), "{name}");
        }
        for name in ["max_t\u{f6}kens", "", "mod", "models_", "\u{17f}"] {
            assert_eq!(Root.member(name.as_bytes()), None, "{name}");
        }
        assert_eq!(Root.member(b"max_token\xff"), None);
    }
}
