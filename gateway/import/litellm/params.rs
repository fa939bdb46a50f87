//! The fields of `litellm_params` besides the model, its address and its credentials.
//!
//! A field that is not known to be harmless may send requests to another address.

use crate::import::fields::Fields;

/// Fields by which the router chooses a deployment.
const HINTS: [&str; 4] = ["order", "rpm", "tpm", "weight"];

/// Fields that set timeouts and retries.
const TIMES: [&str; 5] = [
    "cooldown_time",
    "max_retries",
    "num_retries",
    "stream_timeout",
    "timeout",
];

/// Fields that change bodies or say something about them, but not where requests go.
const HARMLESS: [&str; 35] = [
    "additional_drop_params",
    "allowed_openai_params",
    "base_model",
    "cache",
    "caching",
    "configurable_clientside_auth_params",
    "dimensions",
    "drop_params",
    "encoding_format",
    "extra_body",
    "fallbacks",
    "frequency_penalty",
    "keep_alive",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "merge_reasoning_content_in_choices",
    "n",
    "num_ctx",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
];

/// Takes and notes the remaining fields. Returns whether one of them may determine where requests
/// go.
pub(super) fn discard_remaining(params: &mut Fields<'_>) -> bool {
    for hint in HINTS {
        params.discard(
            hint,
            "the router chooses deployments by it there, and keygate does not choose: to refuse what is more, write a \
             table [[limits]] with `routes` and `models`",
        );
    }
    for time in TIMES {
        params.discard(
            time,
            "keygate has timeouts in the provider: `[providers.NAME.timeouts]`",
        );
    }
    params.discard_unknown(&HARMLESS)
}
