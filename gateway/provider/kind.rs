//! The kinds of providers, as a table: adding a kind is adding an entry.

/// What a kind of provider is like where its configuration does not say otherwise.
#[derive(Debug)]
pub struct Kind {
    /// The name in `kind = "..."`.
    pub name: &'static str,
    /// Where its API is; a kind without one needs `base_url`.
    pub base_url: Option<&'static str>,
    /// Where a request to a route's bare prefix goes.
    pub default_endpoint: &'static str,
    /// The header that its token goes in, in lower case.
    pub auth_header: &'static str,
    /// What stands before the token.
    pub auth_prefix: &'static str,
    /// The shape of its errors, and so of our refusals.
    pub dialect: Dialect,
}

/// The shape of an API's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
}

/// Every kind there is.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "openai",
        base_url: Some("https://api.openai.com/v1"),
        default_endpoint: "/v1/chat/completions",
        auth_header: "authorization",
        auth_prefix: "Bearer ",
        dialect: Dialect::OpenAi,
    },
    Kind {
        name: "custom",
        base_url: None,
        default_endpoint: "/v1/chat/completions",
        auth_header: "authorization",
        auth_prefix: "Bearer ",
        dialect: Dialect::OpenAi,
    },
];

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}
