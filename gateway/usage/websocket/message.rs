//! Reads one message of a WebSocket: JSON, of which the usage, the model and the `type` are kept.

use crate::usage::extract::Extractor;
use crate::usage::fields::Field;
use crate::wire::json::scanner::{Interest, Node, Scanner};

/// The meaning of a message, by its `type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MessageType {
    /// The message has no `type` or is not JSON.
    #[default]
    Untyped,
    /// A response begins.
    Begin,
    /// A response that has begun is queued or in progress.
    Waiting,
    /// A part of a response: the model is generating.
    Delta,
    /// A response has ended, successfully or not.
    End,
    /// A response continues.
    Progress,
    /// A transcription of what a user said has ended. Another model made it, beside the response.
    Transcription,
    /// Any other message.
    Other,
}

impl MessageType {
    /// Parses the `type` of the Realtime API and the Responses API
    /// (<https://platform.openai.com/docs/api-reference/realtime-server-events>,
    /// <https://platform.openai.com/docs/guides/websocket-mode>).
    fn of(name: &[u8]) -> Self {
        match name {
            b"response.created" => Self::Begin,
            b"response.queued" | b"response.in_progress" => Self::Waiting,
            b"response.done"
            | b"response.completed"
            | b"response.incomplete"
            | b"response.failed"
            | b"response.cancelled" => Self::End,
            b"conversation.item.input_audio_transcription.completed" => Self::Transcription,
            _ if name.starts_with(b"conversation.") => Self::Other,
            _ if name.ends_with(b".delta") => Self::Delta,
            _ if name.starts_with(b"response.") => Self::Progress,
            _ => Self::Other,
        }
    }

    /// Returns whether tokens in such a message are final. Counting them earlier would count them
    /// twice.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Self::Begin | Self::Waiting) && !self.is_work()
    }

    /// Returns whether such a message means that the model is generating.
    pub(super) fn is_work(self) -> bool {
        matches!(self, Self::Delta | Self::Progress)
    }
}

/// The contents of a message, extracted so far.
#[derive(Default)]
pub(super) struct MessageContent {
    pub(super) extractor: Extractor,
    pub(super) message_type: MessageType,
    /// The model that transcribes what users speak.
    pub(super) transcription_model: Option<Box<str>>,
}

impl Interest for MessageContent {
    const ROOT: Node = Extractor::ROOT;

    fn child(&self, of: Node, name: &[u8]) -> Option<Node> {
        self.extractor.child(of, name)
    }

    fn is_list(&self, at: Node) -> bool {
        self.extractor.is_list(at)
    }

    fn begins(&mut self, at: Node) {
        self.extractor.begins(at);
    }

    fn number(&mut self, at: Node, written: &[u8]) {
        self.extractor.number(at, written);
    }

    fn text(&mut self, at: Node, text: &[u8]) {
        match self.extractor.branch(at).and_then(|branch| branch.field) {
            Some(Field::DocumentType) => self.message_type = MessageType::of(text),
            Some(Field::TranscriptionModel) => {
                self.transcription_model = Some(String::from_utf8_lossy(text).into());
            }
            _ => {}
        }
        self.extractor.text(at, text);
    }

    fn begins_list(&mut self, at: Node) {
        self.extractor.begins_list(at);
    }

    fn other_list(&mut self, at: Node) {
        self.extractor.other_list(at);
    }

    fn was_empty(&mut self, at: Node) {
        self.extractor.was_empty(at);
    }

    fn truth(&mut self, at: Node, is_true: bool) {
        self.extractor.truth(at, is_true);
    }
}

/// Reads the messages of one direction.
#[derive(Default)]
pub(super) struct MessageReader {
    scanner: Scanner,
    content: MessageContent,
}

impl MessageReader {
    /// Reads the next bytes of the message.
    pub(super) fn feed(&mut self, payload: &[u8]) {
        self.scanner.feed(payload, &mut self.content);
    }

    /// Ends the message, returns its contents and begins the next message.
    pub(super) fn end(&mut self) -> MessageContent {
        self.scanner.reset();
        std::mem::take(&mut self.content)
    }
}
