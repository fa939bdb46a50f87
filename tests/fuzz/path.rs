//! The target of a request: one normal form, or none.

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
    // A percent may stand in a path; an escape of an escape may not.
    for (at, _) in lower.match_indices("%25") {
        let behind = lower.as_bytes().get(at + 3..at + 5).unwrap_or_default();
        assert!(
            behind.len() < 2 || !behind.iter().all(u8::is_ascii_hexdigit),
            "{path}"
        );
    }
    // Read again, it is the same: whoever reads it next reads what was decided about.
    let again = NormalPath::parse(path.as_bytes());
    assert_eq!(
        again.map(|again| again.path.into_owned()).ok().as_deref(),
        Some(path)
    );
}

/// Where separators may be escaped: no reading has a dot segment, and what is normal stays so.
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
