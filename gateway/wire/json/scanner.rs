//! Scans JSON for a few values, byte by byte. Keeps its place in the document, and nothing of the document itself.
//!
//! Values that lead to nothing of interest are skipped by counting brackets, at any depth. The scanner stops at text that
//! is no JSON and reports no error: it only reads beside the stream.

use memchr::memchr2;

use super::escape::{Escape, Step};

/// The longest name of interest, and the most bytes of a text that are kept.
pub(crate) const TEXT: usize = 128;
/// The most objects and arrays around a value of interest.
const DEPTH: usize = 12;

/// A place in the tree of names of interest, of which there are at most 255.
///
/// One byte, because the scanner copies places at every name: with two, the meter takes 1 to 2 % more instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(pub(crate) u8);

/// The values that a scanner looks for, and what it calls when it finds one.
pub(crate) trait Interest {
    /// The place of the root of every document.
    const ROOT: Node;
    /// The place to which `name` leads from another; `None` if nothing there is of interest.
    fn child(&self, of: Node, name: &[u8]) -> Option<Node>;
    /// Whether the elements of an array at this place are read as if each stood there itself.
    fn is_list(&self, at: Node) -> bool;
    /// An object begins at a place.
    fn begins(&mut self, at: Node);
    /// A number at a place, as it is written, cut off after [`TEXT`] bytes.
    fn number(&mut self, at: Node, written: &[u8]);
    /// A string at a place with its escapes decoded, cut off after [`TEXT`] bytes.
    fn text(&mut self, at: Node, text: &[u8]);
    /// Whether strings at a place are of interest.
    fn reads_text(&self, _at: Node) -> bool {
        true
    }
    /// An array begins at a place where [`Self::is_list`] holds.
    fn begins_list(&mut self, _at: Node) {}
    /// An array begins at any other place of interest.
    fn other_list(&mut self, _at: Node) {}
    /// The object at a place has ended without a member.
    fn was_empty(&mut self, _at: Node) {}
    /// `true` or `false` at a place.
    fn truth(&mut self, _at: Node, _is_true: bool) {}
    /// `null` at a place.
    fn null(&mut self, _at: Node) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value is expected.
    Value,
    /// A name is expected, or the end of the object.
    Name,
    /// In a name.
    InName { escape: Escape },
    /// A colon is expected.
    Colon,
    /// A value has ended: a comma is expected, or the end of the object or array.
    After,
    /// In a string, of interest or not.
    InText { escape: Escape },
    /// In a number.
    InNumber,
    /// In `true`, `false` or `null`.
    InLiteral,
    /// In a value of no interest, behind so many open brackets.
    Skip {
        depth: u32,
        in_text: bool,
        escaped: bool,
    },
    /// Behind the one document of a text that may hold no more.
    End,
    /// Behind text that is no JSON.
    Dead,
}

impl State {
    /// The state behind `byte` where nothing but white space may stand.
    fn behind_blank(self, byte: u8) -> Self {
        if is_blank(byte) { self } else { Self::Dead }
    }
}

/// Whether a byte is white space. 0x1e counts as such: it stands before each document of a sequence (RFC 7464).
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1e)
}

/// An object or array that the scanner is in.
#[derive(Clone, Copy)]
struct Level {
    node: Node,
    /// Whether it is an array.
    is_list: bool,
}

/// The scanner of one text, which may hold several documents, one behind the other.
pub(crate) struct Scanner {
    state: State,
    /// The objects and arrays around the current value, all of interest.
    stack: [Level; DEPTH],
    /// The number of them; 0 between documents.
    depth: usize,
    /// The place of the current value, if it is of interest.
    at: Option<Node>,
    /// The current name, string or number, decoded.
    text: [u8; TEXT],
    length: usize,
    /// The first half of a character that is written as two escapes (a surrogate pair), or zero.
    half: u16,
    /// Whether the text may hold one document only.
    is_single: bool,
    /// Whether a value of interest was too deep, or a name had a half of a character.
    is_unclear: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            stack: [Level {
                node: Node(0),
                is_list: false,
            }; DEPTH],
            depth: 0,
            at: None,
            text: [0; TEXT],
            length: 0,
            half: 0,
            is_single: false,
            is_unclear: false,
        }
    }
}

impl Scanner {
    /// The scanner of a text that holds one document: what follows it is no JSON.
    pub(crate) fn of_one_document() -> Self {
        Self {
            is_single: true,
            ..Self::default()
        }
    }

    /// Whether the one document has ended, and nothing but white space has followed it.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// Whether something of interest may have been missed or mistaken: a value was in more objects and arrays than are
    /// followed, or a name had a half of a character (a lone surrogate), which is dropped here and kept by some parsers.
    pub(crate) fn is_unclear(&self) -> bool {
        self.is_unclear
    }

    /// Forgets the document that has not ended: a new one begins.
    pub(crate) fn reset(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.at = None;
    }

    /// Takes the next bytes, and calls `interest` for what they hold.
    pub(crate) fn feed<I: Interest>(&mut self, bytes: &[u8], interest: &mut I) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Dead => return,
                State::Skip { .. } => self.skip(byte, after),
                State::InText { escape } => self.in_text(rest, escape, interest),
                State::InName { escape } => self.in_name(rest, escape, interest),
                State::InNumber => {
                    self.in_number(byte, interest);
                    self.name_begun(after)
                }
                State::InLiteral if byte.is_ascii_alphabetic() => after,
                State::InLiteral => {
                    self.end_value();
                    self.between(byte, interest);
                    after
                }
                _ => {
                    self.between(byte, interest);
                    self.name_begun(after)
                }
            };
        }
    }

    /// Takes the opening quote of a name that is expected. Nearly every server writes it without white space before it.
    fn name_begun<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        match (self.state, bytes.split_first()) {
            (State::Name, Some((b'"', name))) => {
                self.state = self.begin_name();
                name
            }
            _ => bytes,
        }
    }

    fn in_number<I: Interest>(&mut self, byte: u8, interest: &mut I) {
        match byte {
            b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' => {
                if self.at.is_some() {
                    self.keep(byte);
                }
            }
            other => {
                self.end_number(interest);
                self.between(other, interest);
            }
        }
    }

    /// A byte outside of strings, numbers and literals.
    fn between<I: Interest>(&mut self, byte: u8, interest: &mut I) {
        // Matched by state before byte, because most calls are in one of two states.
        self.state = match self.state {
            State::After => match byte {
                b',' => self.next(),
                b'}' if self.is_in(false) => return self.close(),
                b']' if self.is_in(true) => return self.close(),
                _ => State::After.behind_blank(byte),
            },
            State::Value => match byte {
                b'"' => self.begin_text(interest),
                b']' if self.is_in(true) => return self.close(),
                _ if is_blank(byte) => State::Value,
                _ => self.begin_value(byte, interest),
            },
            State::Name if byte == b'"' => self.begin_name(),
            State::Name if byte == b'}' && self.is_in(false) => {
                if let Some(level) = self.level() {
                    interest.was_empty(level.node);
                }
                return self.close();
            }
            State::Colon if byte == b':' => State::Value,
            state => state.behind_blank(byte),
        };
    }

    /// The state behind a comma.
    fn next(&mut self) -> State {
        match self.level() {
            Some(list) if list.is_list => {
                self.at = Some(list.node);
                State::Value
            }
            Some(_) => State::Name,
            None => State::Dead,
        }
    }

    fn begin_name(&mut self) -> State {
        (self.length, self.half) = (0, 0);
        State::InName {
            escape: Escape::None,
        }
    }

    fn begin_text<I: Interest>(&mut self, interest: &I) -> State {
        self.at = self.at.filter(|at| interest.reads_text(*at));
        (self.length, self.half) = (0, 0);
        State::InText {
            escape: Escape::None,
        }
    }

    /// Whether the innermost level is an array, for `list`, or an object.
    fn is_in(&self, list: bool) -> bool {
        self.level().is_some_and(|level| level.is_list == list)
    }

    /// The innermost object or array.
    fn level(&self) -> Option<Level> {
        let top = self.depth.checked_sub(1)?;
        self.stack.get(top).copied()
    }

    /// Ends the innermost object or array.
    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.end_value();
    }

    /// Begins an object or array; one of no interest, or too deep, is skipped.
    fn open(&mut self, node: Option<Node>, is_list: bool) -> State {
        if let Some((node, place)) = node.zip(self.stack.get_mut(self.depth)) {
            *place = Level { node, is_list };
            self.depth += 1;
            self.at = Some(node).filter(|_| is_list);
            return if is_list { State::Value } else { State::Name };
        }
        self.is_unclear |= node.is_some();
        State::Skip {
            depth: 1,
            in_text: false,
            escaped: false,
        }
    }

    fn begin_value<I: Interest>(&mut self, byte: u8, interest: &mut I) -> State {
        let root = self.depth == 0;
        let at = if root { Some(I::ROOT) } else { self.at };
        match byte {
            b'{' => {
                if let Some(at) = at {
                    interest.begins(at);
                }
                self.open(at, false)
            }
            b'[' => {
                let list = at.filter(|at| root || interest.is_list(*at));
                match (list, at) {
                    (Some(at), _) => interest.begins_list(at),
                    (None, Some(at)) => interest.other_list(at),
                    (None, None) => {}
                }
                self.open(list, true)
            }
            b'-' | b'0'..=b'9' => {
                self.length = 0;
                if self.at.is_some() {
                    self.keep(byte);
                }
                State::InNumber
            }
            b't' | b'f' | b'n' => {
                match self.at {
                    Some(at) if byte == b'n' => interest.null(at),
                    Some(at) => interest.truth(at, byte == b't'),
                    None => {}
                }
                State::InLiteral
            }
            _ => State::Dead,
        }
    }

    fn end_value(&mut self) {
        self.at = None;
        self.state = match (self.depth, self.is_single) {
            (0, false) => State::Value,
            (0, true) => State::End,
            _ => State::After,
        };
    }

    /// Reads the next bytes of a name; returns what follows them.
    fn in_name<'b, I: Interest>(
        &mut self,
        bytes: &'b [u8],
        escape: Escape,
        interest: &I,
    ) -> &'b [u8] {
        let (plain, rest) = plain(bytes, escape);
        let Some((&byte, after)) = rest.split_first() else {
            self.keep_all(plain);
            return rest;
        };
        if escape != Escape::None || byte == b'\\' {
            self.keep_all(plain);
            let escape = self.unescape(byte, escape);
            self.is_unclear |= self.half != 0;
            self.state = State::InName { escape };
            return after;
        }
        let parent = self.level().map(|level| level.node);
        let child = |name| interest.child(parent?, name);
        // Nearly every name has come whole, and is looked up without a copy.
        self.at = if self.length == 0 {
            child(plain)
        } else {
            self.keep_all(plain);
            self.text.get(..self.length).and_then(child)
        };
        // Nearly every server writes the colon, and the quote of a string, without white space before it.
        let (state, after) = match after {
            [b':', b'"', text @ ..] => (self.begin_text(interest), text),
            [b':', value @ ..] => (State::Value, value),
            _ => (State::Colon, after),
        };
        self.state = state;
        after
    }

    /// Reads the next bytes of a string; returns what follows them.
    fn in_text<'b, I: Interest>(
        &mut self,
        bytes: &'b [u8],
        escape: Escape,
        interest: &mut I,
    ) -> &'b [u8] {
        let (plain, rest) = plain(bytes, escape);
        if self.at.is_some() {
            self.keep_all(plain);
        }
        let Some((&byte, after)) = rest.split_first() else {
            return rest;
        };
        if self.at.is_none() && (escape != Escape::None || byte == b'\\') {
            return self.skip_escape(after, escape);
        }
        if escape == Escape::None && byte == b'"' {
            if let Some((at, text)) = self.at.zip(self.text.get(..self.length)) {
                interest.text(at, text);
            }
            self.end_value();
        } else {
            let escape = self.unescape(byte, escape);
            self.state = State::InText { escape };
        }
        after
    }

    /// Skips an escape in a string of no interest: its backslash, and the byte behind it, which ends no string. Returns what
    /// follows. `after` are the bytes behind the backslash, or behind the other byte if the bytes were cut between them.
    fn skip_escape<'b>(&mut self, after: &'b [u8], escape: Escape) -> &'b [u8] {
        let (escape, rest) = match (escape, after.split_first()) {
            (Escape::None, Some((_, behind))) => (Escape::None, behind),
            (Escape::None, None) => (Escape::Begun, after),
            _ => (Escape::None, after),
        };
        self.state = State::InText { escape };
        rest
    }

    /// Decodes one byte of a name or string of interest, and keeps the result.
    fn unescape(&mut self, byte: u8, escape: Escape) -> Escape {
        match escape.step(byte, &mut self.half) {
            Step::Within(escape) => return escape,
            Step::Character(character) => {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    self.keep(byte);
                }
            }
            Step::Byte => self.keep(byte),
            Step::Nothing => {}
        }
        Escape::None
    }

    fn keep_all(&mut self, bytes: &[u8]) {
        let room = self.text.get_mut(self.length..).unwrap_or_default();
        let length = room.len().min(bytes.len());
        if let Some((place, bytes)) = room.get_mut(..length).zip(bytes.get(..length)) {
            place.copy_from_slice(bytes);
        }
        self.length += length;
    }

    fn keep(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn end_number<I: Interest>(&mut self, interest: &mut I) {
        if let Some((at, written)) = self.at.zip(self.text.get(..self.length)) {
            interest.number(at, written);
        }
        self.end_value();
    }

    /// Skips bytes of a value of no interest; returns what follows them.
    fn skip<'b>(&mut self, first: u8, rest: &'b [u8]) -> &'b [u8] {
        let State::Skip {
            mut depth,
            mut in_text,
            mut escaped,
        } = self.state
        else {
            return rest;
        };
        let (mut byte, mut rest) = (first, rest);
        loop {
            match byte {
                _ if escaped => escaped = false,
                b'"' => in_text = !in_text,
                b'\\' if in_text => escaped = true,
                b'{' | b'[' if !in_text => depth = depth.saturating_add(1),
                b'}' | b']' if !in_text => {
                    depth -= 1;
                    if depth == 0 {
                        self.end_value();
                        return rest;
                    }
                }
                _ => {}
            }
            if in_text && !escaped {
                let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                rest = rest.get(plain..).unwrap_or_default();
            }
            let Some((&next, after)) = rest.split_first() else {
                break;
            };
            (byte, rest) = (next, after);
        }
        self.state = State::Skip {
            depth,
            in_text,
            escaped,
        };
        &[]
    }
}

/// The bytes of a string before its next quote or escape, and the rest. In an escape, there are none before it.
fn plain(bytes: &[u8], escape: Escape) -> (&[u8], &[u8]) {
    let end = match escape {
        Escape::None => memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()),
        Escape::Begun | Escape::Hex { .. } => 0,
    };
    bytes.split_at(end)
}

#[cfg(test)]
mod tests;
