//! The frames of one direction of a WebSocket (RFC 6455, section 5.2), read beside the stream, wherever its bytes are cut.
//!
//! The reader holds at most one frame's header. Payloads are passed on as they come, whatever length their frame declares.

/// The longest header of a frame, in bytes: two, a length of eight, a mask of four.
const LONGEST: usize = 14;
/// The bytes that are unmasked at a time.
const STEP: usize = 512;
/// The longest payload that a control frame may have, in bytes.
const CONTROL: u64 = 125;

/// A part of a data message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'b> {
    /// Bytes of its payload, unmasked.
    Payload(&'b [u8]),
    /// The end of the message.
    End,
}

/// The state of one direction.
#[derive(Default)]
pub(crate) struct Frames {
    header: [u8; LONGEST],
    /// The bytes of the header that have come.
    have: usize,
    /// The current frame, once its header is complete.
    frame: Option<Frame>,
    /// The message that the next continuation frame belongs to.
    message: Option<Readability>,
    /// Whether a frame has broken the protocol. Nothing behind it can be read.
    broken: bool,
    /// Whether an extension, compression for instance, has changed a message.
    unreadable: bool,
}

/// Whether the payload of a message can be read as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readability {
    Plain,
    /// An extension has changed it: its first frame has a reserved bit.
    Changed,
}

/// One frame without its payload.
struct Frame {
    /// The message that the payload belongs to; `None` for a control frame.
    of: Option<Readability>,
    /// Whether it is the last frame of its message.
    last: bool,
    /// The bytes of the payload that are still to come.
    left: u64,
    /// The mask, rotated so that its first byte belongs to the next byte of the payload.
    mask: Option<[u8; 4]>,
}

impl Frames {
    /// Reads the next bytes, and calls `part` for each part of a data message.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut part: impl FnMut(Part<'_>)) {
        let mut rest = bytes;
        while !self.broken {
            match self.frame.as_mut() {
                Some(frame) if frame.left == 0 => self.end(&mut part),
                _ if rest.is_empty() => return,
                Some(frame) => rest = frame.payload(rest, &mut part),
                None => rest = self.header(rest),
            }
        }
    }

    /// Whether a message could not be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.broken || self.unreadable
    }

    /// Reads one byte of a header; returns what follows it.
    fn header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some((&byte, rest)) = bytes.split_first() else {
            return bytes;
        };
        if let Some(place) = self.header.get_mut(self.have) {
            *place = byte;
        }
        self.have += 1;
        if self.have >= 2 && self.have == header_length(&self.header) {
            self.have = 0;
            match self.begin() {
                Some(frame) => self.frame = Some(frame),
                None => self.broken = true,
            }
        }
        rest
    }

    /// The frame of the complete header; `None` if the protocol does not allow it here.
    fn begin(&mut self) -> Option<Frame> {
        let [first, ..] = self.header;
        let last = first & 0x80 != 0;
        let reserved = first & 0x70 != 0;
        let (left, mask) = length_and_mask(&self.header)?;
        let of = match (first & 0x0f, self.message) {
            (0, Some(message)) if !reserved => Some(message),
            (1 | 2, None) if reserved => Some(Readability::Changed),
            (1 | 2, None) => Some(Readability::Plain),
            (8..=10, _) if last && !reserved && left <= CONTROL => None,
            _ => return None,
        };
        if of.is_some() {
            self.message = of;
        }
        self.unreadable |= of == Some(Readability::Changed);
        Some(Frame {
            of,
            last,
            left,
            mask,
        })
    }

    /// Ends the current frame, and with the last one its message.
    fn end(&mut self, part: &mut impl FnMut(Part<'_>)) {
        let ended = self.frame.take();
        if ended.is_some_and(|frame| frame.last && frame.of.is_some())
            && self.message.take() == Some(Readability::Plain)
        {
            part(Part::End);
        }
    }
}

impl Frame {
    /// Reads the bytes that belong to the payload; returns what follows them.
    fn payload<'b>(&mut self, bytes: &'b [u8], part: &mut impl FnMut(Part<'_>)) -> &'b [u8] {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (inside, behind) = bytes.split_at(bytes.len().min(most));
        self.left -= inside.len() as u64;
        if self.of != Some(Readability::Plain) {
            self.rotate_mask(inside.len());
            return behind;
        }
        match self.mask {
            None | Some([0, 0, 0, 0]) => part(Part::Payload(inside)),
            Some(_) => inside.chunks(STEP).for_each(|step| self.unmask(step, part)),
        }
        behind
    }

    /// Calls `part` with the unmasked bytes.
    fn unmask(&mut self, masked: &[u8], part: &mut impl FnMut(Part<'_>)) {
        let mask = self.mask.unwrap_or_default();
        let mut plain = [0; STEP];
        for ((plain, masked), mask) in plain.iter_mut().zip(masked).zip(mask.iter().cycle()) {
            *plain = masked ^ mask;
        }
        part(Part::Payload(plain.get(..masked.len()).unwrap_or_default()));
        self.rotate_mask(masked.len());
    }

    /// Rotates the mask past so many bytes.
    fn rotate_mask(&mut self, bytes: usize) {
        if let Some(mask) = &mut self.mask {
            mask.rotate_left(bytes % 4);
        }
    }
}

/// The length of a header in bytes, by its first two bytes.
fn header_length([_, second, ..]: &[u8; LONGEST]) -> usize {
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length_bytes(*second) + mask
}

/// The bytes that the length takes behind the second byte.
fn length_bytes(second: u8) -> usize {
    match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// The length of the payload and its mask, from a complete header; `None` for a length of more than 63 bits.
fn length_and_mask(header: &[u8; LONGEST]) -> Option<(u64, Option<[u8; 4]>)> {
    let [_, second, rest @ ..] = header;
    let [a, b, ..] = *rest;
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes([a, b])),
        127 => u64::from_be_bytes(*rest.first_chunk()?),
        short => u64::from(short),
    };
    let is_masked = second & 0x80 != 0;
    let behind_length = rest.get(length_bytes(*second)..)?;
    let mask = behind_length.first_chunk().copied().filter(|_| is_masked);
    (i64::try_from(length).is_ok()).then_some((length, mask))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One frame. `first` is its first byte: the bit of a last frame, the reserved bits, the kind.
    pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let length = payload.len() as u64;
        let mut frame = vec![first];
        match length {
            0..=125 => frame.push(masked | u8::try_from(length).unwrap()),
            126..=0xffff => {
                frame.push(masked | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(masked | 0x7f);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(mask.unwrap_or_default().iter().filter(|_| mask.is_some()));
        let key = mask.unwrap_or_default();
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, m)| b ^ m));
        frame
    }

    /// The messages that are read of `bytes`, fed in chunks of one size, and whether all could be read.
    fn read(bytes: &[u8], cut: usize) -> (Vec<Vec<u8>>, bool) {
        let mut frames = Frames::default();
        let (mut messages, mut message) = (Vec::new(), Vec::new());
        for chunk in bytes.chunks(cut) {
            frames.feed(chunk, |part| match part {
                Part::Payload(payload) => message.extend_from_slice(payload),
                Part::End => messages.push(std::mem::take(&mut message)),
            });
        }
        (messages, !frames.is_unreadable())
    }

    /// A data message in fragments, each behind some control frames, as bytes; and the message.
    fn message() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let control = (
            prop::sample::select(vec![0x89, 0x8a]),
            prop::collection::vec(any::<u8>(), 0..126),
            any::<Option<[u8; 4]>>(),
        );
        let fragment = (
            prop::collection::vec(control, 0..2),
            prop::collection::vec(any::<u8>(), 0..300),
            any::<Option<[u8; 4]>>(),
        );
        let kind = prop::sample::select(vec![1_u8, 2]);
        (kind, prop::collection::vec(fragment, 1..5)).prop_map(|(kind, fragments)| {
            let (mut bytes, mut message) = (Vec::new(), Vec::new());
            let last = fragments.len() - 1;
            for (at, (controls, payload, mask)) in fragments.into_iter().enumerate() {
                for (first, payload, mask) in controls {
                    bytes.extend(frame(first, &payload, mask));
                }
                let first = if at == 0 { kind } else { 0 };
                let end = if at == last { 0x80 } else { 0 };
                bytes.extend(frame(first | end, &payload, mask));
                message.extend(payload);
            }
            (bytes, message)
        })
    }

    proptest! {
        #[test]
        fn messages_are_read_whatever_their_fragments_masks_and_cuts(
            sent in prop::collection::vec(message(), 0..6),
            cut in 1_usize..400,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
            let messages: Vec<Vec<u8>> = sent.into_iter().map(|(_, message)| message).collect();
            prop_assert_eq!(read(&bytes, cut), (messages, true));
        }

        #[test]
        fn any_bytes_are_read_alike_wherever_they_are_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cut in 1_usize..20,
        ) {
            prop_assert_eq!(read(&bytes, cut), read(&bytes, usize::MAX));
        }
    }

    #[test]
    fn a_message_with_a_long_length_is_read_and_an_empty_one() {
        let long = vec![b'x'; 70_000];
        for mask in [None, Some([1, 2, 3, 4])] {
            let bytes = [frame(0x81, &long, mask), frame(0x82, b"", mask)].concat();
            for cut in [1, 7, 513, bytes.len()] {
                assert_eq!(read(&bytes, cut), (vec![long.clone(), Vec::new()], true));
            }
        }
        // One may say a short length in eight bytes.
        let wide = [&[0x81, 127, 0, 0, 0, 0, 0, 0, 0, 2][..], b"ab"].concat();
        assert_eq!(read(&wide, 3), (vec![b"ab".to_vec()], true));
    }

    #[test]
    fn a_message_that_an_extension_changed_is_left_out_and_the_next_is_read() {
        let bytes = [
            frame(0x41, b"compressed", None),
            frame(0x80, b"still", Some([9, 8, 7, 6])),
            frame(0x81, b"plain", None),
        ];
        for cut in [1, 100] {
            let read = read(&bytes.concat(), cut);
            assert_eq!(read, (vec![b"plain".to_vec()], false));
        }
    }

    #[test]
    fn nothing_is_read_behind_a_frame_that_breaks_the_protocol() {
        let good = frame(0x81, b"good", None);
        for bad in [
            // Kinds that there are not.
            frame(0x83, b"", None),
            frame(0x8b, b"", None),
            // A continuation of nothing, and a message within one.
            frame(0x80, b"x", None),
            [frame(0x01, b"x", None), frame(0x81, b"y", None)].concat(),
            // A control frame in fragments, a long one, one with a reserved bit.
            frame(0x09, b"", None),
            frame(0x89, &[0; 126], None),
            frame(0xc9, b"", None),
            // A continuation with a reserved bit.
            [frame(0x01, b"x", None), frame(0xc0, b"y", None)].concat(),
            // A length of more than 63 bits.
            vec![0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let bytes = [good.clone(), bad.clone(), good.clone()].concat();
            for cut in [1, 1000] {
                assert_eq!(
                    read(&bytes, cut),
                    (vec![b"good".to_vec()], false),
                    "{bad:?}"
                );
            }
        }
    }
}
