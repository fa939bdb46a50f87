//! The meter of a WebSocket: reads the messages of both directions beside the stream, in the forms
//! of the Realtime API, the Responses API, Gemini's Live API and compatible ones.
//!
//! One connection carries many responses, each of which reports its own usage. The usage of all
//! messages that report any is added up, except for unfinished responses: providers report no total
//! for a session. (Gemini's `usageMetadata` covers one turn.)
//!
//! A connection takes about 2 KiB, however much is transferred.

mod message;

use self::message::{MessageContent, MessageReader, MessageType};
use super::tokens::Usage;
use crate::grammar::query::{parameters, percent_decoded_text};
use crate::wire::json::scanner::TEXT;
use crate::wire::websocket::{Frames, Part};

/// The meter of one connection.
pub struct WebSocketMeter {
    provider: Direction,
    /// The client's messages, which are read only until the model is known.
    client: Option<Box<Direction>>,
    session: Session,
}

/// A response or a transcription that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketResponse<'s> {
    /// The usage, if reported.
    pub usage: Option<Usage>,
    /// The model that the response or the session names, else the one that the client requested.
    pub model: Option<&'s str>,
}

/// The numbers of responses and messages of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebSocketCounts {
    /// Responses and transcriptions that have ended.
    pub responses: u64,
    /// Responses that have ended without usage although the model was generating. A client may
    /// request an empty response to warm up a connection, and a response may fail before its model
    /// generates anything; neither counts here.
    pub(crate) silent: u64,
    /// Responses that have begun and not ended.
    pub(crate) open: u64,
    /// Messages that were errors, and responses that have failed.
    pub(crate) errors: u64,
    /// Malformed counts.
    pub(crate) malformed: u64,
    /// Messages of no known form.
    unknown: u64,
}

/// The messages of one direction.
#[derive(Default)]
struct Direction {
    frames: Frames,
    message: MessageReader,
}

/// The state of the conversation.
#[derive(Default)]
struct Session {
    model: Option<Box<str>>,
    transcription_model: Option<Box<str>>,
    /// Whether the model has generated anything since the last response ended.
    at_work: bool,
    counts: WebSocketCounts,
}

impl WebSocketMeter {
    /// Creates a meter for a connection to `target`, a path at the provider with its query.
    pub fn new(target: &str) -> Self {
        let model = requested_model(target);
        Self {
            provider: Direction::default(),
            client: model.is_none().then(Box::default),
            session: Session {
                model: model.map(String::into_boxed_str),
                ..Session::default()
            },
        }
    }

    /// Reads bytes that the client sends, cut anywhere.
    pub fn read_client(&mut self, bytes: &[u8]) {
        let Self {
            client, session, ..
        } = self;
        let Some(direction) = client else { return };
        direction.feed(bytes, |content| {
            let requested = content.extractor.model.as_deref().map(without_resource);
            session.model = session.model.take().or(requested.map(Into::into));
        });
        if session.model.is_some() {
            *client = None;
        }
    }

    /// Reads bytes that the provider sends, cut anywhere, and calls `each` for each response that
    /// ends.
    pub fn read_provider(&mut self, bytes: &[u8], mut each: impl FnMut(WebSocketResponse<'_>)) {
        let Self {
            provider,
            client,
            session,
        } = self;
        provider.feed(bytes, |content| session.take(content, &mut each));
        if client.is_some() && session.model.is_some() {
            *client = None;
        }
    }

    /// The numbers so far.
    pub fn counts(&self) -> WebSocketCounts {
        self.session.counts
    }

    /// Returns whether the provider sent something that could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.provider.frames.is_unreadable()
    }
}

impl WebSocketCounts {
    /// The number of responses whose usage is unknown when the connection is over. Messages of no
    /// known form count as one response, unless there was only one, which may be a greeting.
    pub(crate) fn unmetered(&self) -> u64 {
        let has_unknown = self.responses == 0 && self.open == 0 && self.unknown > 1;
        self.silent + self.open + u64::from(has_unknown)
    }
}

impl Direction {
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(MessageContent)) {
        let Self { frames, message } = self;
        frames.feed(bytes, |part| match part {
            Part::Payload(payload) => message.feed(payload),
            Part::End => each(message.end()),
        });
    }
}

impl Session {
    /// Processes a message of the provider.
    fn take(&mut self, content: MessageContent, each: &mut impl FnMut(WebSocketResponse<'_>)) {
        let MessageContent {
            mut extractor,
            message_type,
            transcription_model,
        } = content;
        let usage = extractor.usage().filter(|_| message_type.is_final());
        self.counts.errors += u64::from(extractor.errors.event_ended());
        self.counts.malformed = self.counts.malformed.saturating_add(extractor.malformed);
        if extractor.model.is_some() {
            self.model = extractor.model;
        }
        if transcription_model.is_some() {
            self.transcription_model = transcription_model;
        }
        let ended = usage.is_some()
            || matches!(message_type, MessageType::End | MessageType::Transcription);
        self.count(message_type, ended, usage.is_some());
        if ended {
            let model = match message_type {
                MessageType::Transcription => self.transcription_model.as_deref(),
                _ => self.model.as_deref(),
            };
            each(WebSocketResponse { usage, model });
        }
    }

    fn count(&mut self, message_type: MessageType, ended: bool, has_usage: bool) {
        let counts = &mut self.counts;
        self.at_work |= message_type.is_work();
        counts.responses += u64::from(ended);
        if message_type == MessageType::Transcription {
            // Some transcriptions are billed by the second and report no tokens.
            return;
        }
        if ended {
            let was_at_work = std::mem::take(&mut self.at_work);
            counts.silent += u64::from(was_at_work && !has_usage);
            counts.open = counts.open.saturating_sub(1);
            return;
        }
        match message_type {
            MessageType::Begin => counts.open += 1,
            // The response began without a message, or another continues after one has ended.
            MessageType::Delta => counts.open = counts.open.max(1),
            MessageType::Untyped => counts.unknown += 1,
            _ => {}
        }
    }
}

/// The model that a target requests: OpenAI's is in `model`, Azure's in `deployment`. Names longer
/// than the scanner keeps are ignored.
fn requested_model(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let is_model_parameter =
        |name: &str| ["model", "deployment"].contains(&&*percent_decoded_text(name));
    let found = parameters(query, &['&'])
        .find(|(name, value)| is_model_parameter(name) && !value.is_empty());
    let model = found.map(|(_, value)| percent_decoded_text(value).into_owned());
    model.filter(|model| model.len() <= TEXT)
}

/// The model's name as responses report it: Gemini's clients send `models/NAME`, Vertex's a longer
/// path.
fn without_resource(model: &str) -> &str {
    model.rsplit_once("models/").map_or(model, |(_, name)| name)
}

#[cfg(test)]
mod tests;
