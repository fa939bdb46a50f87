//! `cors` of a route: which pages in browsers may read its responses.

use super::super::file::CorsFile;
use super::checker::Checker;
use crate::document::Located;
use crate::route::{Access, Cors, parse_origin};

impl Checker<'_> {
    /// The origins in `file`, of a route with `access`. An invalid origin is left out, which permits less.
    pub(super) fn cors(&self, file: Option<CorsFile>, access: &Access) -> Option<Cors> {
        let Located { value, at } = file?.origins?;
        let all = value.0;
        if all.is_empty() {
            let why = "cors.origins: name an origin, such as `https://app.example.com`, or leave `cors` out";
            self.fatal(&at, why);
        }
        if all.iter().any(|origin| origin == "*") {
            if all.len() > 1 {
                self.fatal(&at, "cors.origins: `*` is every origin, and stands alone");
            }
            if *access == Access::Open {
                let why = "cors.origins: every page that somebody near the gateway opens could use a route with \
                           `auth = \"none\"`: name the origins, or ask for a key";
                self.fatal(&at, why);
            }
            return Some(Cors::Any);
        }
        let origins = all.iter().filter_map(|origin| {
            let origin = parse_origin(origin);
            origin
                .map_err(|why| self.fatal(&at, format!("cors.origins: {why}")))
                .ok()
        });
        Some(Cors::Origins(origins.collect()))
    }
}
