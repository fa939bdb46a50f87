//! The settings around `LiteLLM`'s deployments that apply to them: environment variables,
//! credentials, and a common address.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::import::fields::{Fields, text_of};
use crate::import::litellm::known::KnownProvider;

/// Looks up an environment variable.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The settings that apply to all deployments.
pub(super) struct CommonSettings<'e> {
    /// The environment of the import, which may be that of `LiteLLM`.
    environment: Environment<'e>,
    /// `environment_variables`.
    variables: BTreeMap<String, String>,
    /// The variables of `environment_variables` that were used.
    used: RefCell<BTreeSet<String>>,
    /// `credential_list` by name; `None` for a credential that is not understood.
    credentials: BTreeMap<String, Option<BTreeMap<String, String>>>,
    /// `litellm_settings.api_base`.
    api_base: Option<String>,
    /// A setting that may change the address of all deployments in a way that is not supported.
    moved_by: Option<String>,
    /// Whether streams are made to report their usage.
    pub(crate) exact_streams: bool,
}

/// Parts of names of settings that change the address of deployments, or how they are called.
const MOVING: [&str; 7] = [
    "api_base",
    "api_type",
    "base_url",
    "custom_provider_map",
    "endpoint",
    "model_alias_map",
    "proxy",
];

impl<'e> CommonSettings<'e> {
    /// Reads the settings at the root of the file.
    pub(super) fn of(root: &mut Fields<'_>, environment: Environment<'e>) -> Self {
        let mut common = Self {
            environment,
            variables: BTreeMap::new(),
            used: RefCell::default(),
            credentials: BTreeMap::new(),
            api_base: None,
            moved_by: None,
            exact_streams: false,
        };
        if root.has("environment_variables") {
            common.variables = root.texts("environment_variables");
            // Entries of another type may be addresses.
            let unclear = root.has("environment_variables");
            common.moved_by = unclear.then(|| "environment_variables".to_owned());
        }
        common.read_credentials(root);
        common.read_litellm_settings(root);
        if let Some(settings) = root.fields(&["router_settings"]) {
            let defaults = "default_litellm_params";
            if settings.has(defaults) {
                common.moved_by = Some(format!("router_settings.{defaults}"));
            }
            settings.lost(
                "",
                "retries, fallbacks, caches and callbacks are not keygate's",
            );
        }
        if root.has("include") {
            common.moved_by = Some("include".to_owned());
            root.discard("include", "import one file that holds all of it");
        }
        common
    }

    /// Reads `credential_list`.
    fn read_credentials(&mut self, root: &mut Fields<'_>) {
        for mut credential in root.list("credential_list") {
            let name = credential.text("credential_name").unwrap_or_default();
            let title = format!("credential `{name}` ({})", credential.place(""));
            let mut credential = credential.with_title(&title);
            credential.value(&["credential_info"]);
            let values = credential.value(&["credential_values"]).unwrap_or_default();
            let values = values.as_object().and_then(|values| {
                let texts = values.iter();
                let texts = texts.filter(|(_, value)| !value.is_null());
                texts
                    .map(|(name, value)| Some((name.clone(), text_of(value)?)))
                    .collect::<Option<BTreeMap<_, _>>>()
            });
            let unclear = credential.discard_unknown(&[]);
            // Two credentials of the same name are both ignored.
            let twice = self.credentials.contains_key(&name);
            let values = values.filter(|_| !unclear && !twice);
            self.credentials.insert(name, values);
        }
    }

    /// Reads `litellm_settings`.
    fn read_litellm_settings(&mut self, root: &mut Fields<'_>) {
        if let Some(mut settings) = root.fields(&["litellm_settings"]) {
            self.api_base = settings.text("api_base");
            self.streams(&mut settings);
            let is_moving = |name: &&String| MOVING.iter().any(|part| name.contains(part));
            let moved_by = settings.unread().find(is_moving);
            let moved_by = moved_by.map(|name| format!("litellm_settings.{name}"));
            self.moved_by = moved_by.or(self.moved_by.take());
            if settings.unread().next().is_some() {
                settings.lost(
                    "",
                    "retries, fallbacks, caches and callbacks are not keygate's",
                );
            }
        }
    }

    /// The value that the configuration sets for an environment variable, which is then recorded as
    /// used.
    pub(super) fn given(&self, variable: &str) -> Option<&str> {
        let given = self.variables.get(variable)?;
        self.used.borrow_mut().insert(variable.to_owned());
        Some(given)
    }

    /// Notes the variables that the configuration sets and nothing uses.
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

    /// Returns whether an environment variable is set, in the configuration or in the environment.
    pub(super) fn is_set(&self, variable: &str) -> bool {
        self.variables.contains_key(variable) || (self.environment)(variable).is_some()
    }

    /// Reads the setting that makes streams report their usage.
    pub(super) fn streams(&mut self, settings: &mut Fields<'_>) {
        let name = "always_include_stream_usage";
        let Some(value) = settings.text(name) else {
            return;
        };
        match self.resolve(&value) {
            Ok(value) if value.eq_ignore_ascii_case("true") => {
                self.exact_streams = true;
                settings.note(name, "it is `meter_streams = \"exact\"` of the routes whose streams must be asked; \
                    clients get the chunk with the usage only where they ask for it themselves");
            }
            Ok(_) => {}
            Err(variable) => settings.lost(name, format!(
                "the environment variable {variable} is not set here: say `meter_streams = \"exact\"` of the routes"
            )),
        }
    }

    /// Resolves a value that may name an environment variable. The error is the name of a variable
    /// that is not set.
    pub(super) fn resolve(&self, value: &str) -> Result<String, String> {
        let Some(name) = value.strip_prefix("os.environ/") else {
            return Ok(value.to_owned());
        };
        let given = self.given(name).map(str::to_owned);
        given
            .or_else(|| (self.environment)(name))
            .ok_or_else(|| name.to_owned())
    }

    /// The values of the credential of this name.
    pub(super) fn credential(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.credentials.get(name)?.as_ref()
    }

    /// The address for deployments of a provider that name none; `None` for the provider's own
    /// address. The error is the reason why the address is not known.
    pub(super) fn address_of(&self, known: &KnownProvider) -> Result<Option<String>, String> {
        if let Some(setting) = &self.moved_by {
            return Err(format!("`{setting}` may send it elsewhere"));
        }
        if let Some(base) = &self.api_base {
            // Other providers use this setting or not, each in its own way.
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
        // LiteLLM may run with this variable as well.
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
