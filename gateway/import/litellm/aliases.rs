//! The names by which clients of `LiteLLM` ask for models, and what they reach here.

use std::collections::{BTreeMap, BTreeSet};

/// The models that have a route, by the names that clients use.
#[derive(Default)]
pub(super) struct Aliases {
    reached: BTreeMap<String, Vec<Place>>,
    /// The routes of each provider, by the prefix of its models.
    providers: BTreeMap<&'static str, BTreeSet<String>>,
}

/// A route, and the model that is asked for there; `None` if it leads to one model only.
type Place = (String, Option<String>);

/// What a name reaches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// The names of the routes.
    pub(super) routes: Vec<String>,
    /// The models; empty if the routes lead to no others.
    pub(super) models: Vec<String>,
}

impl Aliases {
    /// Adds what a name reaches.
    pub(super) fn add(&mut self, alias: &str, prefix: &'static str, place: Place) {
        let routes = self.providers.entry(prefix).or_default();
        routes.insert(place.0.clone());
        let places = self.reached.entry(alias.to_owned()).or_default();
        places.push(place);
    }

    /// What requests for `name` reach. `None` if that is nothing, or nothing that one limit counts.
    pub(super) fn resolve(&self, name: &str) -> Option<Reached> {
        let places = self.places(name)?;
        let routes: BTreeSet<String> = places.iter().map(|(route, _)| route.clone()).collect();
        let models: BTreeSet<String> = places
            .iter()
            .filter_map(|(_, model)| model.clone())
            .collect();
        let has_all = places.iter().all(|(_, model)| model.is_some());
        let is_known = models.iter().all(|model| is_pattern(model));
        (is_known && (has_all || models.is_empty())).then(|| Reached {
            routes: routes.into_iter().collect(),
            models: models.into_iter().filter(|model| model != "*").collect(),
        })
    }

    fn places(&self, name: &str) -> Option<Vec<Place>> {
        if let Some(places) = self.reached.get(name) {
            return Some(places.clone());
        }
        // An entry for any model of a provider.
        let patterns = self.reached.iter().filter_map(|(alias, places)| {
            let prefix = alias
                .strip_suffix('*')
                .filter(|prefix| !prefix.is_empty())?;
            let rest = name.strip_prefix(prefix)?;
            let places = places.iter().map(|(route, model)| {
                let model = model.as_ref().map(|model| model.replace('*', rest));
                (route.clone(), model)
            });
            Some((alias.len(), places.collect()))
        });
        let nearest = patterns.max_by_key(|(length, _)| *length);
        nearest.map(|(_, places)| places)
    }

    /// The routes to a provider, by the prefix of its models.
    pub(super) fn routes_of(&self, prefix: &str) -> Vec<String> {
        let routes = self.providers.get(prefix).into_iter().flatten();
        routes.cloned().collect()
    }

    /// All models with a route, each with the name of its route, which is its provider's.
    pub(super) fn models(&self) -> impl Iterator<Item = (&str, &str)> {
        let places = self.reached.values().flatten();
        places.map(|(route, model)| (route.as_str(), model.as_deref().unwrap_or("*")))
    }
}

/// Whether a limit can be of this model: a name, or a beginning of names with `*` behind it.
pub(super) fn is_pattern(model: &str) -> bool {
    let name = model.strip_suffix('*').unwrap_or(model);
    !model.is_empty() && !name.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(route: &str, model: Option<&str>) -> Place {
        (route.to_owned(), model.map(str::to_owned))
    }

    #[test]
    fn a_name_reaches_the_models_of_its_entries_and_a_pattern_the_model_that_it_stands_for() {
        let mut aliases = Aliases::default();
        aliases.add("smart", "openai", place("openai", Some("gpt-5")));
        aliases.add("smart", "groq", place("groq", Some("llama-4")));
        aliases.add("openai/*", "openai", place("openai", Some("*")));
        aliases.add("azure", "azure", place("azure", None));
        aliases.add("both", "azure", place("azure", None));
        aliases.add("both", "openai", place("openai", Some("gpt-5")));
        let words = |name: &str| {
            let reached = aliases.resolve(name)?;
            Some(format!("{:?} {:?}", reached.routes, reached.models))
        };
        let smart = r#"["groq", "openai"] ["gpt-5", "llama-4"]"#;
        assert_eq!(words("smart").as_deref(), Some(smart));
        let o3 = r#"["openai"] ["o3"]"#;
        assert_eq!(words("openai/o3").as_deref(), Some(o3));
        assert_eq!(words("openai/*").as_deref(), Some(r#"["openai"] []"#));
        assert_eq!(words("azure").as_deref(), Some(r#"["azure"] []"#));
        assert_eq!((words("both"), words("unknown")), (None, None));
        assert_eq!(aliases.routes_of("openai"), ["openai"]);
        assert!(aliases.routes_of("mistral").is_empty());
    }
}
