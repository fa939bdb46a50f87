//! What stands around `LiteLLM`'s deployments and holds for them: environment variables, credentials, and an
//! address for all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::super::fields::{Fields, text_of};
use super::kinds::Known;

/// Looks an environment variable up.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// What holds for deployments.
pub(super) struct Surroundings<'e> {
    /// The environment that the import runs in, which may be that of `LiteLLM`.
    environment: Environment<'e>,
    /// `environment_variables`.
    variables: BTreeMap<String, String>,
    /// Those of them that were put to use.
    used: RefCell<BTreeSet<String>>,
    /// `credential_list`, by name; `None` for one that is not understood.
    credentials: BTreeMap<String, Option<BTreeMap<String, String>>>,
    /// `litellm_settings.api_base`.
    api_base: Option<String>,
    /// A setting that may move all of them, in a way that is not read here.
    moved_by: Option<String>,
    /// Whether streams are made to say what they took.
    pub exact_streams: bool,
}

/// What names of settings hold that move deployments, or change how they are called.
const MOVING: [&str; 7] = [
    "api_base",
    "api_type",
    "base_url",
    "custom_provider_map",
    "endpoint",
    "model_alias_map",
    "proxy",
];

impl<'e> Surroundings<'e> {
    /// Reads what stands at the root.
    pub(super) fn of(root: &mut Fields<'_>, environment: Environment<'e>) -> Self {
        let mut around = Self {
            environment,
            variables: BTreeMap::new(),
            used: RefCell::default(),
            credentials: BTreeMap::new(),
            api_base: None,
            moved_by: None,
            exact_streams: false,
        };
        if root.has("environment_variables") {
            around.variables = root.texts("environment_variables");
            // One of another shape may be an address.
            let unclear = root.has("environment_variables");
            around.moved_by = unclear.then(|| "environment_variables".to_owned());
        }
        for mut credential in root.list("credential_list") {
            let name = credential.text("credential_name").unwrap_or_default();
            let title = format!("credential `{name}` ({})", credential.place(""));
            let mut credential = credential.entitled(&title);
            credential.value(&["credential_info"]);
            let values = credential.value(&["credential_values"]).unwrap_or_default();
            let values = values.as_object().and_then(|values| {
                let texts = values.iter();
                let texts = texts.filter(|(_, value)| !value.is_null());
                texts
                    .map(|(name, value)| Some((name.clone(), text_of(value)?)))
                    .collect::<Option<BTreeMap<_, _>>>()
            });
            let unclear = credential.is_unclear(&[]);
            // Of two of one name, neither.
            let twice = around.credentials.contains_key(&name);
            let values = values.filter(|_| !unclear && !twice);
            around.credentials.insert(name, values);
        }
        if let Some(mut settings) = root.fields(&["litellm_settings"]) {
            around.api_base = settings.text("api_base");
            around.streams(&mut settings);
            let is_moving = |name: &&String| MOVING.iter().any(|part| name.contains(part));
            let moved_by = settings.unread().find(is_moving);
            let moved_by = moved_by.map(|name| format!("litellm_settings.{name}"));
            around.moved_by = moved_by.or(around.moved_by);
            if settings.unread().next().is_some() {
                settings.lost(
                    "",
                    "retries, fallbacks, caches and callbacks are not keygate's",
                );
            }
        }
        if let Some(settings) = root.fields(&["router_settings"]) {
            let defaults = "default_litellm_params";
            if settings.has(defaults) {
                around.moved_by = Some(format!("router_settings.{defaults}"));
            }
            settings.lost(
                "",
                "retries, fallbacks, caches and callbacks are not keygate's",
            );
        }
        if root.has("include") {
            around.moved_by = Some("include".to_owned());
            root.lose("include", "import one file that holds all of it");
        }
        around
    }

    /// What the configuration sets an environment variable to, for use.
    pub(super) fn given(&self, variable: &str) -> Option<&str> {
        let given = self.variables.get(variable)?;
        self.used.borrow_mut().insert(variable.to_owned());
        Some(given)
    }

    /// Lists what the configuration sets and nothing uses.
    pub(super) fn list_unused(&self, root: &Fields<'_>) {
        let used = self.used.borrow();
        let unused = self.variables.keys().filter(|name| !used.contains(*name));
        let unused: Vec<&str> = unused.map(String::as_str).collect();
        if !unused.is_empty() {
            root.lost("environment_variables", format!(
                "neither a token here nor part of an address: set them where keygate runs, if it needs them: {}",
                unused.join(", ")
            ));
        }
    }

    /// Whether an environment variable is set, in the configuration or here.
    pub(super) fn is_set(&self, variable: &str) -> bool {
        self.variables.contains_key(variable) || (self.environment)(variable).is_some()
    }

    /// Takes the setting that makes streams say what they took.
    pub(super) fn streams(&mut self, settings: &mut Fields<'_>) {
        let name = "always_include_stream_usage";
        let Some(said) = settings.text(name) else {
            return;
        };
        match self.resolve(&said) {
            Ok(said) if said.eq_ignore_ascii_case("true") => {
                self.exact_streams = true;
                settings.say(name, "it is `meter_streams = \"exact\"` of the routes whose streams must be asked; \
                    clients get the chunk with the usage only where they ask for it themselves");
            }
            Ok(_) => {}
            Err(variable) => settings.lost(name, format!(
                "the environment variable {variable} is not set here: say `meter_streams = \"exact\"` of the routes"
            )),
        }
    }

    /// A value, or what stands in the environment variable that it names. Fails with the name of one that is
    /// not set.
    pub(super) fn resolve(&self, value: &str) -> Result<String, String> {
        let Some(name) = value.strip_prefix("os.environ/") else {
            return Ok(value.to_owned());
        };
        let given = self.given(name).map(str::to_owned);
        given
            .or_else(|| (self.environment)(name))
            .ok_or_else(|| name.to_owned())
    }

    /// What the credential of this name says.
    pub(super) fn credential(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.credentials.get(name)?.as_ref()
    }

    /// The address of deployments of a provider that say none themselves; `None` is the provider's own. Fails
    /// with the reason where it cannot be told.
    pub(super) fn address_of(&self, known: &Known) -> Result<Option<String>, String> {
        if let Some(setting) = &self.moved_by {
            return Err(format!("`{setting}` may send it elsewhere"));
        }
        if let Some(base) = &self.api_base {
            // Others look at it or not, each in its own way.
            if known.kind != "openai" {
                return Err(
                    "`litellm_settings.api_base` may send it elsewhere: say its own `api_base`"
                        .to_owned(),
                );
            }
            let base = self.resolve(base);
            return base.map(Some).map_err(|variable| {
                format!("the environment variable {variable} of `litellm_settings.api_base` is not set here")
            });
        }
        let variables = known.address_variables();
        let given: Vec<&str> = variables
            .iter()
            .filter_map(|name| self.given(name))
            .collect();
        match given.as_slice() {
            [] => {}
            [first, others @ ..] if others.iter().all(|other| other == first) => {
                let base = self.resolve(first);
                return base.map(Some).map_err(|variable| {
                    format!("the environment variable {variable} is not set here, of which its address is made")
                });
            }
            _ => {
                return Err(format!("{} say different addresses", variables.join(", ")));
            }
        }
        // Perhaps LiteLLM runs with it as well.
        match variables
            .iter()
            .find(|name| (self.environment)(name).is_some())
        {
            Some(name) => Err(format!(
                "{name} is set here, so it may go elsewhere: say its own `api_base`, or unset the variable and import again"
            )),
            None => Ok(None),
        }
    }
}
