//! The tables that the operator gives.

/// `LiteLLM`'s tables as CSV, each with the file's name and text.
#[derive(Clone, Copy, Default)]
pub struct Tables<'t> {
    /// `LiteLLM_VerificationToken`. Without it, the other tables have no effect.
    pub keys: Option<(&'t str, &'t str)>,
    /// `LiteLLM_TeamTable`. Without it, keys of teams are imported as disabled.
    pub teams: Option<(&'t str, &'t str)>,
    /// `LiteLLM_UserTable`. Without it, keys of users are imported as disabled.
    pub users: Option<(&'t str, &'t str)>,
    /// `LiteLLM_TeamMembership`. Without it, keys that belong to both a team and a user are
    /// imported as disabled.
    pub members: Option<(&'t str, &'t str)>,
}
