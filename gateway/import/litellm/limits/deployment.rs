//! The limits of a deployment: an entry of `model_list`.

use crate::import::amounts::PlannedAmounts;
use crate::import::fields::Fields;
use crate::import::litellm::aliases::is_pattern;
use crate::import::litellm::common_settings::CommonSettings;
use crate::import::litellm::limits::amount;
use crate::import::litellm::limits::text::{UNCLEAR, any_text, resolved};
use crate::import::plan::Plan;
use crate::import::planned_limit::PlannedLimit;
use crate::limit::terms::Counts;

/// The limits of a deployment, which restrict how often the router chooses it.
#[derive(Default)]
pub(in crate::import::litellm) struct DeploymentLimits {
    max_budget: Option<String>,
    budget_duration: Option<String>,
    parallel: Option<String>,
}

impl DeploymentLimits {
    /// Takes the settings of a deployment.
    pub(in crate::import::litellm) fn take(params: &mut Fields<'_>) -> Self {
        Self {
            max_budget: any_text(params, "max_budget"),
            budget_duration: any_text(params, "budget_duration"),
            parallel: any_text(params, "max_parallel_requests"),
        }
    }

    /// Adds them to the plan, as limits of `model` on `route`. `None` is the one model there.
    pub(in crate::import::litellm) fn apply(
        &self,
        params: &Fields<'_>,
        common: &CommonSettings<'_>,
        route: &str,
        model: Option<&str>,
        plan: &mut Plan,
    ) {
        let mut amounts = PlannedAmounts::default();
        let duration = self.budget_duration.as_deref();
        let budget = self.max_budget.as_ref();
        let budget = budget.map(|text| {
            let read = resolved(text, common).and_then(|text| amount::budget(&text, duration));
            ("max_budget", Counts::Money, read)
        });
        let parallel = self.parallel.as_ref().map(|text| {
            let read = resolved(text, common).and_then(|text| amount::at_once(&text));
            ("max_parallel_requests", Counts::Parallel, read)
        });
        for (field, counts, read) in budget.into_iter().chain(parallel) {
            match read {
                Ok(found) => {
                    if let Some(why) = found.differs {
                        params.lost(field, why);
                    }
                    let Some(amount) = found.amount else { continue };
                    params.note(
                        field,
                        "its requests are refused here, and wait or go to another deployment there",
                    );
                    amounts.add(amount::counts_of(counts, amount), amount);
                }
                Err(amount::Unclear) => params.lost(field, UNCLEAR),
            }
        }
        if amounts.is_empty() {
            return;
        }
        let model = model.filter(|model| *model != "*");
        if model.is_some_and(|model| !is_pattern(model)) {
            return params.lost(
                "model",
                "a limit is of a model, or of those with one beginning: it is left out",
            );
        }
        plan.add_limit(PlannedLimit {
            name: format!("{route}-{}", model.unwrap_or("models")),
            routes: vec![route.to_owned()],
            models: model.map(str::to_owned).into_iter().collect(),
            amounts,
            from: (params.title().to_owned(), String::new()),
            ..PlannedLimit::default()
        });
    }
}
