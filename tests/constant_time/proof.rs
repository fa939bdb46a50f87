//! Proves with valgrind that no branch and no address in the key check depends on the bytes of the presented key. The
//! proof begins when the key was found in the request head, and ends when only its digest and one bit are left.
//!
//! Memcheck follows undefined memory through every instruction, and reports a branch or an address that depends on it. The
//! program marks the presented key as undefined, so that each report is a leak. It marks the result (`Fingerprint`: the
//! SHA-256, which does not reveal the key, and whether the form is valid) as defined again, and looks it up.
//!
//!     valgrind -q --error-exitcode=99 target/fast/constant-time            must succeed
//!     valgrind -q --error-exitcode=99 target/fast/constant-time early-exit must fail: the control compares byte by
//!                                                                          byte, and stops at the first difference
//!
//! Use an optimised build, like the one that is shipped. Valgrind does not support SHA instructions, so that the proof
//! covers the portable code of SHA-256. Of the instructions, the processors' makers state that they take constant
//! time.

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use keygate::testing::key::{
    ClientKey, Fingerprint, KeyDigest, KeyEntry, KeyFailure, KeyStore, Labels, format,
};

/// Client requests of valgrind.h and memcheck.h.
const RUNNING_ON_VALGRIND: usize = 0x1001;
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEM_DEFINED: usize = 0x4d43_0002;

/// Makes a client request to valgrind. Returns 0 without valgrind.
#[cfg(target_arch = "x86_64")]
fn request(code: usize, address: usize, length: usize) -> usize {
    let arguments = [code, address, length, 0, 0, 0];
    let mut response = 0_usize;
    // SAFETY: the sequence of valgrind.h for amd64. It rotates rdi by 128 bits in all and exchanges rbx with itself:
    // without valgrind nothing changes, and with it only the response is written.
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

fn mark<T: ?Sized>(code: usize, value: &T) {
    let address = std::ptr::from_ref(value).cast::<u8>() as usize;
    request(code, address, size_of_val(value));
}

/// A comparison that stops at the first difference, as the control.
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
        eprintln!("this program proves nothing without valgrind (on x86-64)");
        return ExitCode::from(2);
    }
    let make = |id: &str| format::generate(id).unwrap().to_string();
    let (valid, disabled, expired) = (make("valid"), make("disabled"), make("expired"));
    let chosen = "a key that a person chose";
    let store = KeyStore::build(
        [
            ("valid", &*valid),
            ("chosen", chosen),
            ("disabled", &disabled),
            ("expired", &expired),
        ]
        .map(|(id, secret)| entry(id, secret)),
    );
    let store = store.ok().unwrap();
    let long = make(&"x".repeat(64));
    let mut mistyped = valid.clone();
    mistyped.replace_range(10..11, "!");
    let now = Timestamp::from_second(1_800_000_000).unwrap();

    let cases = [
        (&*valid, Ok("valid")),
        (chosen, Ok("chosen")),
        (&disabled, Err(KeyFailure::Disabled)),
        (&expired, Err(KeyFailure::Expired)),
        (&long, Err(KeyFailure::Unknown)),
        ("", Err(KeyFailure::Unknown)),
        ("sk-somebody-else's", Err(KeyFailure::Unknown)),
        (&mistyped, Err(KeyFailure::Malformed)),
        ("kg_short", Err(KeyFailure::Malformed)),
        (&valid[..valid.len() - 1], Err(KeyFailure::Malformed)),
    ];
    if std::env::args().any(|argument| argument == "early-exit") {
        let presented = valid.clone().into_bytes();
        mark(MAKE_MEM_UNDEFINED, &*presented);
        let equal = early_exit(valid.as_bytes(), &presented);
        mark(MAKE_MEM_DEFINED, &equal);
        println!("compared byte by byte: {equal}");
        return ExitCode::SUCCESS;
    }
    for (presented, expected) in &cases {
        let copy = presented.as_bytes().to_vec();
        mark(MAKE_MEM_UNDEFINED, &*copy);
        let fingerprint = Fingerprint::of(&copy);
        mark(MAKE_MEM_DEFINED, &fingerprint);
        let verified = store.verify_fingerprint(&fingerprint, now);
        assert_eq!(verified.map(|verified| &*verified.key.id), *expected);
    }
    println!(
        "checked {} keys of all kinds, in steps that do not depend on their bytes",
        cases.len()
    );
    ExitCode::SUCCESS
}
