//! What a response tells a client of its limits, in the headers that clients of the dialect read.
//!
//! Of each kind of limit, a response tells the one that leaves the least, because that is the one that the client will
//! meet. The provider's own headers of these kinds are about the account that all clients share, so they are replaced.
//! Of kinds that the gateway does not limit, they pass.

use std::cmp::Reverse;
use std::fmt::{self, Arguments, Display, Formatter, Write};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::reject::{next_second, whole_milliseconds, whole_seconds};
use crate::limit::notice::LimitHeaders;
use crate::provider::ErrorFormat;

/// The header that tells what is left of the tightest budget, in units of the price list's currency.
pub(super) const BUDGET_REMAINING: &str = "x-keygate-budget-remaining";

/// The header that names a budget of which so much is used that its limit wants a warning.
pub(super) const WARNING: &str = "x-keygate-limit-warning";

/// The room for the values of one response: they share one piece of memory.
const CAPACITY: usize = 512;
/// The units of a budget in one unit of its currency.
const BILLIONTHS: u64 = 1_000_000_000;

/// What a limit counts, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests.
    Requests,
    /// Tokens of input and output together.
    Tokens,
    /// Tokens of input.
    InputTokens,
    /// Tokens of output.
    OutputTokens,
    /// Money, in billionths of the price list's currency.
    Budget,
}

/// The kinds that are limited in a time, in the order in which a response tells them.
const RATES: [Kind; 4] = [
    Kind::Requests,
    Kind::Tokens,
    Kind::InputTokens,
    Kind::OutputTokens,
];
/// The kinds of which clients that know one limit of tokens are told the tightest.
const ANY_TOKENS: &[Kind] = &[Kind::Tokens, Kind::InputTokens, Kind::OutputTokens];

impl Kind {
    /// The end of a limit's name in `RateLimit`.
    fn suffix(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Budget => "budget",
        }
    }
}

/// What one of the client's limits has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left<'a> {
    /// What it counts, in units of which the numbers are.
    pub(crate) kind: Kind,
    /// The limit's name.
    pub(crate) name: &'a str,
    /// The units in a window or period.
    pub(crate) limit: u64,
    /// The units that are left after this request.
    pub(crate) remaining: u64,
    /// The length of the window or period.
    pub(crate) window: Duration,
    /// The time until all units are left again, if no more requests come.
    pub(crate) resets_in: Duration,
}

/// The names of the headers that tell of one kind.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

impl Names {
    const fn new(limit: &'static str, remaining: &'static str, reset: &'static str) -> Self {
        Self {
            limit: HeaderName::from_static(limit),
            remaining: HeaderName::from_static(remaining),
            reset: HeaderName::from_static(reset),
        }
    }

    fn remove_from(&self, headers: &mut HeaderMap) {
        for name in [&self.limit, &self.remaining, &self.reset] {
            headers.remove(name);
        }
    }
}

// Statics, because a text would be parsed at each use.

// https://platform.openai.com/docs/guides/rate-limits
static OPENAI_REQUESTS: Names = Names::new(
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
);
static OPENAI_TOKENS: Names = Names::new(
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
);

// https://docs.anthropic.com/en/api/rate-limits
static ANTHROPIC_REQUESTS: Names = Names::new(
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
);
static ANTHROPIC_TOKENS: Names = Names::new(
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
);
static ANTHROPIC_INPUT_TOKENS: Names = Names::new(
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
);
static ANTHROPIC_OUTPUT_TOKENS: Names = Names::new(
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
);

// https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

static BUDGET: HeaderName = HeaderName::from_static(BUDGET_REMAINING);

/// Writes what `left` says into the headers of a response for clients of `dialect`, as far as `choice` lets it. `now` is
/// the time from which `resets_in` counts.
pub(crate) fn write(
    headers: &mut HeaderMap,
    dialect: ErrorFormat,
    left: &[Left<'_>],
    now: Timestamp,
    choice: LimitHeaders,
) {
    if left.is_empty() || choice == LimitHeaders::None {
        return;
    }
    let text = BytesMut::with_capacity(CAPACITY);
    let mut writer = Writer {
        headers,
        left,
        text,
    };
    match dialect {
        ErrorFormat::Anthropic => writer.anthropic(now),
        // Google's APIs have no headers for this.
        ErrorFormat::Google => {}
        ErrorFormat::OpenAi
        | ErrorFormat::Mistral
        | ErrorFormat::Cohere
        | ErrorFormat::HuggingFace => writer.openai(),
    }
    writer.rates();
    if choice == LimitHeaders::All {
        writer.budget();
    }
}

/// Warns that `percent` of the budget `name` is used.
pub(super) fn warn(headers: &mut HeaderMap, name: &str, percent: u8) {
    if let Ok(value) = HeaderValue::from_str(&format!("{name} {percent}%")) {
        headers.insert(WARNING, value);
    }
}

/// Writes the headers of one response.
struct Writer<'w> {
    headers: &'w mut HeaderMap,
    left: &'w [Left<'w>],
    /// The memory for the values.
    text: BytesMut,
}

impl<'w> Writer<'w> {
    /// The limit of one of `kinds` that leaves the least, and of several such, the one that takes the longest to reset.
    fn tightest(&self, kinds: &[Kind]) -> Option<&'w Left<'w>> {
        let of_kinds = self.left.iter().filter(|left| kinds.contains(&left.kind));
        of_kinds.min_by_key(|left| (left.remaining, Reverse(left.resets_in)))
    }

    fn openai(&mut self) {
        for (names, kinds) in [
            (&OPENAI_REQUESTS, &[Kind::Requests][..]),
            (&OPENAI_TOKENS, ANY_TOKENS),
        ] {
            if let Some(left) = self.tightest(kinds) {
                self.put_kind(names, left, format_args!("{}", Short(left.resets_in)));
            }
        }
    }

    fn anthropic(&mut self, now: Timestamp) {
        let limits_tokens = self.tightest(ANY_TOKENS).is_some();
        for (names, kinds) in [
            (&ANTHROPIC_REQUESTS, &[Kind::Requests][..]),
            (&ANTHROPIC_TOKENS, ANY_TOKENS),
            (&ANTHROPIC_INPUT_TOKENS, &[Kind::InputTokens]),
            (&ANTHROPIC_OUTPUT_TOKENS, &[Kind::OutputTokens]),
        ] {
            if let Some(left) = self.tightest(kinds) {
                let resets = now.saturating_add(left.resets_in).unwrap_or(now);
                self.put_kind(names, left, format_args!("{}", next_second(resets)));
            } else if limits_tokens && !kinds.contains(&Kind::Requests) {
                // Beside the gateway's own limit of tokens, the provider's would be taken for another of the client's.
                names.remove_from(self.headers);
            }
        }
    }

    /// The headers for all dialects.
    fn rates(&mut self) {
        let told = RATES.map(|kind| self.tightest(&[kind]));
        if told.iter().all(Option::is_none) {
            return;
        }
        for left in told.into_iter().flatten() {
            let window = whole_seconds(left.window);
            self.item(left, format_args!("q={};w={window}", left.limit));
        }
        self.put(&POLICY);
        for left in told.into_iter().flatten() {
            // `r` stands before `t`: huggingface_hub reads them in this order only.
            let resets_in = whole_seconds(left.resets_in);
            self.item(left, format_args!("r={};t={resets_in}", left.remaining));
        }
        self.put(&RATE_LIMIT);
    }

    /// Adds an item to the list that is being written.
    fn item(&mut self, left: &Left<'_>, parameters: Arguments<'_>) {
        let comma = if self.text.is_empty() { "" } else { ", " };
        let (name, suffix) = (Word(left.name), left.kind.suffix());
        // Writing into memory does not fail.
        let _ = write!(self.text, "{comma}\"{name}_{suffix}\";{parameters}");
    }

    fn budget(&mut self) {
        if let Some(left) = self.tightest(&[Kind::Budget]) {
            let _ = write!(self.text, "{}", Money(left.remaining));
            self.put(&BUDGET);
        }
    }

    fn put_kind(&mut self, names: &Names, left: &Left<'_>, reset: Arguments<'_>) {
        for (name, value) in [
            (&names.limit, left.limit),
            (&names.remaining, left.remaining),
        ] {
            let _ = write!(self.text, "{value}");
            self.put(name);
        }
        let _ = self.text.write_fmt(reset);
        self.put(&names.reset);
    }

    /// Sets the header `name` to the text that was written since the last one. The provider's own is replaced.
    fn put(&mut self, name: &HeaderName) {
        let text = self.text.split().freeze();
        if let Ok(value) = HeaderValue::from_maybe_shared(text) {
            self.headers.insert(name.clone(), value);
        }
    }
}

/// A limit's name with `_` for all that is no ASCII letter or digit: clients read names as `\w+`.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        self.0.chars().try_for_each(|c| f.write_char(word(c)))
    }
}

/// A time in OpenAI's form: `120ms` below a second, `1s`, `6m0s`, `1h0m0s`. Rounded up.
struct Short(Duration);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let milliseconds = whole_milliseconds(self.0);
        if (1..1000).contains(&milliseconds) {
            return write!(f, "{milliseconds}ms");
        }
        let seconds = whole_seconds(self.0);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let rest = seconds % 60;
        match (hours, minutes) {
            (0, 0) => write!(f, "{rest}s"),
            (0, _) => write!(f, "{minutes}m{rest}s"),
            _ => write!(f, "{hours}h{minutes}m{rest}s"),
        }
    }
}

/// Billionths of a currency unit as a decimal number of units, without zeros at its end.
struct Money(u64);

impl Display for Money {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / BILLIONTHS)?;
        let (mut part, mut digits) = (self.0 % BILLIONTHS, 9);
        if part == 0 {
            return Ok(());
        }
        while part.is_multiple_of(10) {
            (part, digits) = (part / 10, digits - 1);
        }
        write!(f, ".{part:0digits$}")
    }
}

#[cfg(test)]
mod tests;
