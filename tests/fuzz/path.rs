//! Request targets: each has one normal form, or is refused.

use keygate::testing::grammar::path::NormalPath;
use keygate::testing::route::request_path;

pub fn read(target: &[u8]) {
    of_request(target);
    let Ok(normal) = NormalPath::parse(target) else {
        return;
    };
    let path = normal.path.as_ref();
    assert!(path.starts_with('/') && path.is_ascii(), "{path}");
    let lower = path.to_ascii_lowercase();
    for doubtful in [
        "//", "\\", "%2e", "%2f", "%5c", "%00", "\r", "\n", " ", ";", "?", "#",
    ] {
        assert!(!lower.contains(doubtful), "{doubtful} in {path}");
    }
    assert!(
        path.split('/').all(|part| part != "." && part != ".."),
        "{path}"
    );
    // An escaped percent sign is allowed, unless an escape follows from it (double encoding).
    for (at, _) in lower.match_indices("%25") {
        let digits = lower.as_bytes().get(at + 3..at + 5).unwrap_or_default();
        assert!(
            digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit),
            "{path}"
        );
    }
    // Normalizing again changes nothing: the provider reads the path about which the gateway decided.
    let again = NormalPath::parse(path.as_bytes());
    assert_eq!(
        again.map(|again| again.path.into_owned()).ok().as_deref(),
        Some(path)
    );
}

/// With escaped separators allowed: no reading of the path has a dot segment, and normalizing again changes nothing.
fn of_request(target: &[u8]) {
    let Ok(normal) = request_path(target) else {
        return;
    };
    for reading in normal.other_readings() {
        assert!(
            reading.split('/').all(|part| part != "." && part != ".."),
            "{reading} of {}",
            normal.path
        );
    }
    let again = request_path(normal.path.as_bytes());
    assert_eq!(
        again.map(|again| again.path.into_owned()).ok().as_deref(),
        Some(&*normal.path)
    );
}
