//! A provider as `LiteLLM` knows it.

/// A provider as `LiteLLM` knows it.
pub(super) struct KnownProvider {
    /// The prefix of model names.
    pub(crate) prefix: &'static str,
    /// The provider kind here.
    pub(crate) kind: &'static str,
    /// The environment variables in which `LiteLLM` looks for the token, in that order.
    pub(crate) tokens: &'static [&'static str],
    /// The base URL, if the kind has none.
    pub(crate) base_url: Option<&'static str>,
    /// Whether `LiteLLM` sends requests without a key if there is none.
    pub(crate) keyless: bool,
}

/// A server with an API like `OpenAI`'s, at an address that the entry names.
pub(super) const UNKNOWN: KnownProvider = KnownProvider {
    prefix: "openai",
    kind: "custom",
    tokens: &[],
    base_url: None,
    keyless: false,
};
