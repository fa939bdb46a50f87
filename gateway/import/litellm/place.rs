//! Where `LiteLLM` sends the requests of a deployment, and with which credentials.

use std::collections::BTreeMap;

use crate::import::fields::Fields;
use crate::import::litellm::common_settings::CommonSettings;

/// The fields that determine the address and the credentials of a deployment.
const PLACE: [&str; 4] = ["api_key", "api_base", "api_version", "organization"];

/// The fields of [`PLACE`] in which environment variables are resolved. The token is not: its
/// variable may be set where keygate runs.
const RESOLVED: [&str; 3] = ["api_base", "api_version", "organization"];

/// The address and credentials of a deployment, by the fields of [`PLACE`].
pub(super) type Place = BTreeMap<&'static str, String>;

/// A field that cannot be imported.
pub(super) struct Fault {
    /// The field; empty for the deployment as a whole.
    pub(super) field: &'static str,
    /// The reason.
    pub(super) why: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self {
            field,
            why: why.into(),
        }
    }
}

/// Reads the place of a deployment: its own fields and those of its credential.
pub(super) fn read(params: &mut Fields<'_>, common: &CommonSettings<'_>) -> Result<Place, Fault> {
    let mut place = own_fields(params)?;
    add_credential(&mut place, params, common)?;
    resolve_variables(&mut place, common)?;
    Ok(place)
}

/// Takes the deployment's own fields. `base_url` is another name of `api_base`.
fn own_fields(params: &mut Fields<'_>) -> Result<Place, Fault> {
    let mut place = Place::new();
    let spellings = PLACE.iter().map(|name| (*name, *name));
    for (name, field) in spellings.chain([("api_base", "base_url")]) {
        let Some(value) = params.text(field) else {
            continue;
        };
        let other = place.insert(name, value.clone());
        if other.is_some_and(|other| other != value) {
            return Err(Fault::new(field, format!("it is not what `{name}` says")));
        }
    }
    Ok(place)
}

/// Adds the values of the credential that the deployment names, if it names one.
fn add_credential(
    place: &mut Place,
    params: &mut Fields<'_>,
    common: &CommonSettings<'_>,
) -> Result<(), Fault> {
    let field = "litellm_credential_name";
    let Some(credential) = params.text(field) else {
        return Ok(());
    };
    let Some(values) = common.credential(&credential) else {
        let why = format!(
            "`{credential}` is not in `credential_list`, or not in words that keygate knows"
        );
        return Err(Fault::new(field, why));
    };
    for (name, value) in values {
        let Some(name) = PLACE.iter().find(|known| *known == name) else {
            return Err(Fault::new(
                field,
                format!("keygate does not know its `{name}`"),
            ));
        };
        let other = place.insert(name, value.clone());
        if other.is_some_and(|other| other != *value) {
            return Err(Fault::new(
                field,
                format!("the entry says another `{name}`"),
            ));
        }
    }
    Ok(())
}

/// Replaces the names of environment variables by their values.
fn resolve_variables(place: &mut Place, common: &CommonSettings<'_>) -> Result<(), Fault> {
    for name in RESOLVED {
        let Some(value) = place.get_mut(name) else {
            continue;
        };
        *value = common.resolve(value).map_err(|variable| {
            let why = format!("the environment variable {variable} is not set here, of which its address is made: set it and import again");
            Fault::new(name, why)
        })?;
    }
    Ok(())
}
