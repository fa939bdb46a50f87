//! A proof by valgrind: no branch and no address in the key check depends on the bytes of the presented
//! key, from the moment they were found in the head to the moment they are only a digest and a bit.
//!
//! Memcheck follows undefined memory through every instruction, and complains when a branch or an
//! address comes from it. So the presented key is marked undefined, and every complaint is a leak. What
//! comes out (`Fingerprint`: the SHA-256, from which nothing leads back, and whether the form is right)
//! is marked defined again and looked up.
//!
//!     valgrind -q --error-exitcode=99 target/fast/constant-time            must succeed
//!     valgrind -q --error-exitcode=99 target/fast/constant-time early-exit must fail: it compares byte
//!                                                                          by byte, as one must not
//!
//! Prove what runs: an optimised build, not a debug one. Valgrind knows no SHA instructions, so what is
//! seen of SHA-256 is its portable code; the instructions take the same time for all data by their
//! makers' word.

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use keygate::testing::key::{
    ClientKey, Fingerprint, KeyDigest, KeyEntry, KeyFailure, KeyStore, Labels, format,
};

/// The requests of valgrind.h and memcheck.h that are made here.
const RUNNING_ON_VALGRIND: usize = 0x1001;
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEM_DEFINED: usize = 0x4d43_0002;

/// Asks valgrind for something; 0 where there is none.
#[cfg(target_arch = "x86_64")]
fn request(what: usize, address: usize, length: usize) -> usize {
    let arguments = [what, address, length, 0, 0, 0];
    let mut response = 0_usize;
    // SAFETY: the sequence of valgrind.h for amd64. It turns rdi round to where it was and exchanges rbx
    // with itself: without valgrind nothing happens, and with it only the response is written.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") response,
            options(nostack),
        );
    }
    response
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_: usize, _: usize, _: usize) -> usize {
    0
}

fn mark<T: ?Sized>(what: usize, value: &T) {
    let address = std::ptr::from_ref(value).cast::<u8>() as usize;
    request(what, address, size_of_val(value));
}

/// What the table's keys look like when they are compared as one must not.
fn early_exit(known: &[u8], presented: &[u8]) -> bool {
    known.len() == presented.len() && known.iter().zip(presented).all(|(a, b)| a == b)
}

fn entry(id: &str, secret: &str) -> KeyEntry {
    KeyEntry {
        key: ClientKey {
            id: id.into(),
            labels: Labels::default(),
            metadata: BTreeMap::new(),
            not_before: None,
            expires: (id == "expired").then_some(Timestamp::UNIX_EPOCH),
            disabled: id == "disabled",
            counted: true,
        },
        digests: vec![(KeyDigest::of(secret.as_bytes()), None)],
    }
}

fn main() -> ExitCode {
    if request(RUNNING_ON_VALGRIND, 0, 0) == 0 {
        eprintln!("this proves something under valgrind only (on x86-64)");
        return ExitCode::from(2);
    }
    let make = |id: &str| format::generate(id).unwrap().to_string();
    let (made, disabled, expired) = (make("made"), make("disabled"), make("expired"));
    let chosen = "a key that a person chose";
    let store = KeyStore::build(
        [
            ("made", &*made),
            ("chosen", chosen),
            ("disabled", &disabled),
            ("expired", &expired),
        ]
        .map(|(id, secret)| entry(id, secret)),
    );
    let store = store.ok().unwrap();
    let long = make(&"x".repeat(64));
    let mut mistyped = made.clone();
    mistyped.replace_range(10..11, "!");
    let now = Timestamp::from_second(1_800_000_000).unwrap();

    let cases = [
        (&*made, Ok("made")),
        (chosen, Ok("chosen")),
        (&disabled, Err(KeyFailure::Disabled)),
        (&expired, Err(KeyFailure::Expired)),
        (&long, Err(KeyFailure::Unknown)),
        ("", Err(KeyFailure::Unknown)),
        ("sk-somebody-else's", Err(KeyFailure::Unknown)),
        (&mistyped, Err(KeyFailure::Malformed)),
        ("kg_short", Err(KeyFailure::Malformed)),
        (&made[..made.len() - 1], Err(KeyFailure::Malformed)),
    ];
    if std::env::args().any(|argument| argument == "early-exit") {
        let presented = made.clone().into_bytes();
        mark(MAKE_MEM_UNDEFINED, &*presented);
        let equal = early_exit(made.as_bytes(), &presented);
        mark(MAKE_MEM_DEFINED, &equal);
        println!("compared byte by byte: {equal}");
        return ExitCode::SUCCESS;
    }
    for (presented, expected) in &cases {
        let copy = presented.as_bytes().to_vec();
        mark(MAKE_MEM_UNDEFINED, &*copy);
        let fingerprint = Fingerprint::of(&copy);
        mark(MAKE_MEM_DEFINED, &fingerprint);
        let opened = store.verify_fingerprint(&fingerprint, now);
        assert_eq!(opened.map(|opened| &*opened.key.id), *expected);
    }
    println!(
        "{} keys of all kinds were checked in steps that none of their bytes chose",
        cases.len()
    );
    ExitCode::SUCCESS
}
