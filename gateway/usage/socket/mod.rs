//! The meter of a WebSocket: reads the messages of both directions beside the stream, as the Realtime API, the Responses
//! API, Gemini's Live API and what is like them send them.
//!
//! One connection carries many responses, each of which says its own tokens. Those of all messages that say any are
//! added up, but for those of a response that goes on: providers say no total of a session. (Gemini's `usageMetadata` is
//! of one turn each.)
//!
//! A connection takes some 2 KiB, however much goes over it.

mod message;

use self::message::{Kind, Message, Said};
use super::tokens::Usage;
use crate::grammar::query::{parameters, percent_decoded_text};
use crate::wire::json::scanner::TEXT;
use crate::wire::websocket::{Frames, Part};

/// The meter of one connection.
pub struct Socket {
    provider: Direction,
    /// The client's messages, which are read until a model is known.
    client: Option<Box<Direction>>,
    session: Session,
}

/// Something that a model has done, with the last word about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'s> {
    /// The tokens, if it says any.
    pub usage: Option<Usage>,
    /// The model: as the response or the session names it, or as the client has asked for it.
    pub model: Option<&'s str>,
}

/// How many things came over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses that have ended, and transcriptions.
    pub responses: u64,
    /// Responses that have ended without saying their tokens, although something was made: a client may ask for nothing,
    /// to warm a connection up, and a response may fail before its model is at work.
    pub silent: u64,
    /// Responses that have begun and not ended.
    pub open: u64,
    /// Messages that were errors, or responses that have failed.
    pub errors: u64,
    /// Counts of tokens that were none.
    pub malformed: u64,
    /// Messages in no form that is known.
    unknown: u64,
}

/// One direction.
#[derive(Default)]
struct Direction {
    frames: Frames,
    message: Message,
}

/// What is known of the conversation.
#[derive(Default)]
struct Session {
    model: Option<Box<str>>,
    transcriber: Option<Box<str>>,
    /// Whether a model was at work since a response ended.
    at_work: bool,
    counts: Counts,
}

impl Socket {
    /// For a connection that was asked for by `target`, a path at the provider with its query.
    pub fn new(target: &str) -> Self {
        let model = model_of(target);
        Self {
            provider: Direction::default(),
            client: model.is_none().then(Box::default),
            session: Session {
                model: model.map(String::into_boxed_str),
                ..Session::default()
            },
        }
    }

    /// Reads what the client sends. Bytes may be cut anywhere.
    pub fn from_client(&mut self, bytes: &[u8]) {
        let Self {
            client, session, ..
        } = self;
        let Some(direction) = client else { return };
        direction.feed(bytes, |said| {
            let asked = said.found.model.as_deref().map(name_of);
            session.model = session.model.take().or(asked.map(Into::into));
        });
        if session.model.is_some() {
            *client = None;
        }
    }

    /// Reads what the provider sends; `each` is called for each response that ends. Bytes may be cut anywhere.
    pub fn from_provider(&mut self, bytes: &[u8], mut each: impl FnMut(Response<'_>)) {
        let Self {
            provider,
            client,
            session,
        } = self;
        provider.feed(bytes, |said| session.take(said, &mut each));
        if client.is_some() && session.model.is_some() {
            *client = None;
        }
    }

    /// How many things have come so far.
    pub fn counts(&self) -> Counts {
        self.session.counts
    }

    /// Whether the provider sent something that could not be read.
    pub fn is_blind(&self) -> bool {
        self.provider.frames.is_blind()
    }
}

impl Counts {
    /// Responses whose tokens are not known now that the connection is over. Messages in no known form count as one, but
    /// for a first one, which may say hello.
    pub fn unmetered(&self) -> u64 {
        let foreign = self.responses == 0 && self.open == 0 && self.unknown > 1;
        self.silent + self.open + u64::from(foreign)
    }
}

impl Direction {
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Said)) {
        let Self { frames, message } = self;
        frames.feed(bytes, |part| match part {
            Part::Payload(payload) => message.feed(payload),
            Part::End => each(message.end()),
        });
    }
}

impl Session {
    /// Takes what a message of the provider said.
    fn take(&mut self, said: Said, each: &mut impl FnMut(Response<'_>)) {
        let Said {
            mut found,
            kind,
            transcriber,
        } = said;
        let usage = found.usage().filter(|_| kind.is_final());
        self.counts.errors += u64::from(found.errors.event_ended());
        self.counts.malformed = self.counts.malformed.saturating_add(found.malformed);
        if found.model.is_some() {
            self.model = found.model;
        }
        if transcriber.is_some() {
            self.transcriber = transcriber;
        }
        let ended = usage.is_some() || matches!(kind, Kind::Ends | Kind::Transcription);
        self.count(kind, ended, usage.is_some());
        if ended {
            let model = match kind {
                Kind::Transcription => self.transcriber.as_deref(),
                _ => self.model.as_deref(),
            };
            each(Response { usage, model });
        }
    }

    fn count(&mut self, kind: Kind, ended: bool, told: bool) {
        let counts = &mut self.counts;
        self.at_work |= kind.is_work();
        counts.responses += u64::from(ended);
        if kind == Kind::Transcription {
            // Some are billed by the second, and say no tokens.
            return;
        }
        if ended {
            let made = std::mem::take(&mut self.at_work);
            counts.silent += u64::from(made && !told);
            counts.open = counts.open.saturating_sub(1);
            return;
        }
        match kind {
            Kind::Begins => counts.open += 1,
            // Of what began without a word, or of what goes on after something else has ended.
            Kind::Delta => counts.open = counts.open.max(1),
            Kind::Untyped => counts.unknown += 1,
            _ => {}
        }
    }
}

/// The model that a target asks for: OpenAI's is in `model`, Azure's in `deployment`. One of a length that is kept of no
/// text is none.
fn model_of(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let is_asked = |name: &str| ["model", "deployment"].contains(&&*percent_decoded_text(name));
    let found = parameters(query, &['&']).find(|(name, value)| is_asked(name) && !value.is_empty());
    let model = found.map(|(_, value)| percent_decoded_text(value).into_owned());
    model.filter(|model| model.len() <= TEXT)
}

/// The name of a model as responses say it: Gemini's clients ask for `models/NAME`, Vertex's for a longer path.
fn name_of(model: &str) -> &str {
    model.rsplit_once("models/").map_or(model, |(_, name)| name)
}

#[cfg(test)]
mod tests;
