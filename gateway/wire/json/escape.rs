//! The escapes of JSON strings (RFC 8259, section 7), byte by byte.

/// The place in an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// In no escape.
    None,
    /// Behind the backslash.
    Begun,
    /// Among the four hexadecimal digits of a code unit, behind so many of them.
    Hex { digits: u8, value: u16 },
}

/// The meaning of a byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is part of an escape, which goes on.
    Within(Escape),
    /// It stands for itself.
    Byte,
    /// It ends an escape that stands for this character.
    Character(char),
    /// It ends the first half of a character, or an escape that is malformed.
    Nothing,
}

impl Escape {
    /// Takes the next byte. `half` holds the first half of a character that is written as two escapes (a surrogate pair),
    /// or zero.
    pub(crate) fn step(self, byte: u8, half: &mut u16) -> Step {
        match (self, byte) {
            (Self::None, b'\\') => Step::Within(Self::Begun),
            (Self::Begun, b'u') => Step::Within(Self::Hex {
                digits: 0,
                value: 0,
            }),
            (Self::Begun, b'n') => Step::Character('\n'),
            (Self::Begun, b't') => Step::Character('\t'),
            (Self::Begun, b'r') => Step::Character('\r'),
            (Self::Begun, b'b') => Step::Character('\u{8}'),
            (Self::Begun, b'f') => Step::Character('\u{c}'),
            // A byte outside of an escape, or a quote, backslash or slash behind a backslash.
            (Self::None | Self::Begun, _) => Step::Byte,
            (Self::Hex { digits, value }, _) => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    return Step::Nothing;
                };
                let value = value << 4 | u16::try_from(digit).unwrap_or(0);
                if digits < 3 {
                    let digits = digits + 1;
                    return Step::Within(Self::Hex { digits, value });
                }
                character(value, half)
            }
        }
    }
}

/// The character that a code unit stands for, or completes.
fn character(value: u16, half: &mut u16) -> Step {
    let first = std::mem::take(half);
    if matches!(value, 0xd800..=0xdbff) {
        *half = value;
        return Step::Nothing;
    }
    let both = char::decode_utf16([first, value]).next();
    match (first, both) {
        (1.., Some(Ok(character))) => Step::Character(character),
        _ => Step::Character(char::from_u32(value.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
}
