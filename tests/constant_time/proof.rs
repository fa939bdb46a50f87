//! Proves with valgrind that no branch and no address in the key check depends on the bytes of the presented key, neither
//! for keys that are accepted nor for those that are refused. The proof begins when the key was found in the request head,
//! and ends when only its digest and one bit are left.
//!
//! Memcheck follows undefined memory through every instruction, and reports a branch or an address that depends on it. The
//! program marks the presented key as undefined, so that each report is a leak. It marks what the steps return (the
//! SHA-256, which does not reveal the key; for a key that is refused, whether its form is valid) as defined again. The key
//! itself stays undefined during the lookup.
//!
//! The steps are those of `KeyStore::verify`. That it takes them in the same way for all refused keys of one length, and
//! for all accepted ones, is counted: see `prove`.
//!
//!     valgrind -q --error-exitcode=99 target/fast/constant-time            must succeed
//!     valgrind -q --error-exitcode=99 target/fast/constant-time early-exit must fail: the control compares byte by
//!                                                                          byte, and stops at the first difference
//!     valgrind --tool=callgrind target/fast/constant-time check NAME TIMES counts the instructions of checking a key
//!
//! Use an optimised build, like the one that is shipped. Valgrind does not support SHA instructions, so that the proof
//! covers the portable code of SHA-256. Of the instructions, the processors' makers state that they take constant
//! time.

use std::hint::black_box;
use std::process::ExitCode;

use jiff::Timestamp;
use keygate::testing::key::{ClientKey, KeyDigest, KeyEntry, KeyFailure, KeyStore, format};

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
    let mut key = ClientKey::new(id.into());
    key.expires = (id == "expired").then_some(Timestamp::UNIX_EPOCH);
    key.disabled = id == "disabled";
    KeyEntry {
        key,
        digests: vec![(KeyDigest::of(secret.as_bytes()), None)],
    }
}

/// A store, and keys of all kinds with what is expected of each.
struct Cases {
    store: KeyStore,
    now: Timestamp,
    /// Name, key, and the id of the accepted key or the reason of the refusal.
    keys: Vec<(&'static str, String, Result<&'static str, KeyFailure>)>,
}

impl Cases {
    fn make() -> Self {
        // All ids have eight characters, so that the keys have one length.
        let make = |id: &str| format::generate(id).unwrap().to_string();
        let stored = ["accepted", "disabled", "expired"].map(|id| (id, make(&format!("{id:_<8}"))));
        let [accepted, disabled, expired] = stored.clone().map(|(_, key)| key);
        // Stored keys that keygate did not make: one without its prefix, and one with the prefix and another form.
        let [chosen, own] = ["a key that a person chose ", "kg_a key that a person made "]
            .map(|text| format!("{text:x<width$}", width = accepted.len()));
        let mut mistyped = accepted.clone();
        mistyped.replace_range(10..11, "!");
        let chosen_keys = [("chosen", chosen.clone()), ("own", own.clone())];
        let all = stored.into_iter().chain(chosen_keys);
        let store = KeyStore::build(all.map(|(id, secret)| entry(id, &secret)));
        let cut = accepted[..accepted.len() - 1].to_owned();
        let foreign = format!("sk-{}", &accepted[3..]);
        Self {
            store: store.ok().unwrap(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            keys: vec![
                ("accepted", accepted, Ok("accepted")),
                ("chosen", chosen, Ok("chosen")),
                ("own", own, Ok("own")),
                ("disabled", disabled, Err(KeyFailure::Disabled)),
                ("expired", expired, Err(KeyFailure::Expired)),
                ("unknown", make("unknown_"), Err(KeyFailure::Unknown)),
                ("foreign", foreign, Err(KeyFailure::Unknown)),
                ("mistyped", mistyped, Err(KeyFailure::Malformed)),
                ("cut", cut, Err(KeyFailure::Malformed)),
                ("short", "kg_short".to_owned(), Err(KeyFailure::Malformed)),
                ("long", make(&"x".repeat(64)), Err(KeyFailure::Unknown)),
                ("empty", String::new(), Err(KeyFailure::Unknown)),
            ],
        }
    }

    /// Takes the steps of the key check one by one, with keys that memcheck takes for undefined.
    fn prove(&self) {
        for (name, presented, expected) in &self.keys {
            let copy = presented.as_bytes().to_vec();
            mark(MAKE_MEM_UNDEFINED, &*copy);
            let digest = KeyDigest::of(&copy);
            mark(MAKE_MEM_DEFINED, &digest);
            let verified = self.store.verify_digest(&digest, self.now).map_err(|why| {
                let malformed = format::is_malformed(&copy);
                mark(MAKE_MEM_DEFINED, &malformed);
                why.or_malformed(malformed)
            });
            let verified = verified.map(|verified| verified.key.id.to_string());
            assert_eq!(verified.as_deref().map_err(|why| *why), *expected, "{name}");
        }
        println!(
            "checked {} keys of all kinds, in steps that do not depend on their bytes",
            self.keys.len()
        );
    }

    /// Checks the key `name` so many times, as a gateway does, for a count of the instructions.
    fn check(&self, name: &str, times: usize) {
        let (_, key, expected) = self.keys.iter().find(|(known, ..)| *known == name).unwrap();
        for _ in 0..times {
            let verified = self.store.verify_bytes(black_box(key.as_bytes()), self.now);
            assert_eq!(black_box(verified.is_ok()), expected.is_ok());
        }
    }
}

fn main() -> ExitCode {
    if request(RUNNING_ON_VALGRIND, 0, 0) == 0 {
        eprintln!("this program proves nothing without valgrind (on x86-64)");
        return ExitCode::from(2);
    }
    let cases = Cases::make();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => cases.prove(),
        ["check", name, times] => cases.check(name, times.parse().unwrap()),
        ["early-exit"] => {
            let (_, known, _) = &cases.keys[0];
            let presented = known.clone().into_bytes();
            mark(MAKE_MEM_UNDEFINED, &*presented);
            let equal = early_exit(known.as_bytes(), &presented);
            mark(MAKE_MEM_DEFINED, &equal);
            println!("compared byte by byte: {equal}");
        }
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
