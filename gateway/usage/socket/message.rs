//! What one message of a WebSocket says: JSON, of which the tokens, the model and the `type` are kept.

use crate::usage::places::Says;
use crate::usage::tokens::Found;
use crate::wire::json::scanner::{Interest, Node, Scanner};

/// What a message is, by its `type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has none, or is no JSON.
    #[default]
    Untyped,
    /// A response begins.
    Begins,
    /// A response that has begun is not at work yet, or says that it is.
    Waits,
    /// A part of a response: a model is at work.
    Delta,
    /// A response has ended, well or not.
    Ends,
    /// A response goes on.
    Progress,
    /// A transcription of what a user said has ended: the work of another model, beside that on a response.
    Transcription,
    /// Anything else.
    Other,
}

impl Kind {
    /// By the `type` that the Realtime API and the Responses API give their events
    /// (<https://platform.openai.com/docs/api-reference/realtime-server-events>,
    /// <https://platform.openai.com/docs/guides/websocket-mode>).
    fn of(name: &[u8]) -> Self {
        match name {
            b"response.created" => Self::Begins,
            b"response.queued" | b"response.in_progress" => Self::Waits,
            b"response.done"
            | b"response.completed"
            | b"response.incomplete"
            | b"response.failed"
            | b"response.cancelled" => Self::Ends,
            b"conversation.item.input_audio_transcription.completed" => Self::Transcription,
            _ if name.starts_with(b"conversation.") => Self::Other,
            _ if name.ends_with(b".delta") => Self::Delta,
            _ if name.starts_with(b"response.") => Self::Progress,
            _ => Self::Other,
        }
    }

    /// Whether tokens in such a message are those of something that has ended: before, they would count twice.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Self::Begins | Self::Waits) && !self.is_work()
    }

    /// Whether such a message is a part of what a model makes.
    pub(super) fn is_work(self) -> bool {
        matches!(self, Self::Delta | Self::Progress)
    }
}

/// What a message has said so far.
#[derive(Default)]
pub(super) struct Said {
    pub(super) found: Found,
    pub(super) kind: Kind,
    /// The model that writes down what users say.
    pub(super) transcriber: Option<Box<str>>,
}

impl Interest for Said {
    const ROOT: Node = Found::ROOT;

    fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
        self.found.child(of, name)
    }

    fn is_list(&self, at: Node) -> bool {
        self.found.is_list(at)
    }

    fn begins(&mut self, at: Node) {
        self.found.begins(at);
    }

    fn number(&mut self, at: Node, written: &[u8]) {
        self.found.number(at, written);
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        match self.found.branch(at).and_then(|branch| branch.says) {
            Some(Says::Kind) => self.kind = Kind::of(text),
            Some(Says::Transcriber) => {
                self.transcriber = Some(String::from_utf8_lossy(text).into());
            }
            _ => {}
        }
        self.found.text(at, text);
    }

    fn begins_list(&mut self, at: Node) {
        self.found.begins_list(at);
    }

    fn other_list(&mut self, at: Node) {
        self.found.other_list(at);
    }

    fn was_empty(&mut self, at: Node) {
        self.found.was_empty(at);
    }

    fn truth(&mut self, at: Node, is_true: bool) {
        self.found.truth(at, is_true);
    }
}

/// The reader of the messages of one direction.
#[derive(Default)]
pub(super) struct Message {
    scanner: Scanner,
    said: Said,
}

impl Message {
    /// Reads the next bytes of the message.
    pub(super) fn feed(&mut self, payload: &[u8]) {
        self.scanner.feed(payload, &mut self.said);
    }

    /// The message is over: what it said. The next one begins.
    pub(super) fn end(&mut self) -> Said {
        self.scanner.reset();
        std::mem::take(&mut self.said)
    }
}
