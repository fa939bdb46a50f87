//! Unique names of imported providers, routes, keys and secrets.

use std::collections::{HashMap, HashSet};

/// Unique names.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// The number of names that share each base.
    alike: HashMap<String, usize>,
}

impl Names {
    /// Takes a free name similar to `wanted`: letters, digits, `.`, `_` and `-`, without a leading
    /// dot.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let wanted = wanted.trim_start_matches('.').chars();
        let mut base: String = wanted
            .map(|c| if plain(c) { c } else { '-' })
            .take(48)
            .collect();
        if base.is_empty() {
            "unnamed".clone_into(&mut base);
        }
        let number = self.alike.entry(base.clone()).or_default();
        loop {
            *number += 1;
            let name = if *number == 1 {
                base.clone()
            } else {
                format!("{base}-{number}")
            };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
