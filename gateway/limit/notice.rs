//! What an operator chooses about the way in which clients learn of limits. Settings, without the way they are written
//! into a response.

/// Which limits successful responses tell the client of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum LimitHeaders {
    /// Those of requests and tokens, and what is left of budgets.
    All,
    /// Those of requests and tokens.
    #[default]
    Rates,
    /// None. The provider's own headers pass as they come.
    None,
}

impl LimitHeaders {
    /// All values with their names in the configuration.
    pub(crate) const NAMES: [(&str, Self); 3] = [
        ("all", Self::All),
        ("rates", Self::Rates),
        ("none", Self::None),
    ];
}

/// The status of a refusal because a budget is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum BudgetStatus {
    /// 402, which no SDK sends again and which nobody uses for anything else.
    #[default]
    PaymentRequired,
    /// 403, for clients that take a 402 for a fault of the network.
    Forbidden,
    /// 429, as OpenAI itself refuses an account without credit.
    TooManyRequests,
}

impl BudgetStatus {
    /// All values, in the order of their codes.
    pub(crate) const ALL: [Self; 3] = [
        Self::PaymentRequired,
        Self::Forbidden,
        Self::TooManyRequests,
    ];

    /// The status code, which is also the value in the configuration.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::PaymentRequired => 402,
            Self::Forbidden => 403,
            Self::TooManyRequests => 429,
        }
    }

    /// The value for a status code of the configuration. `None` for any other code.
    pub(crate) fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_tell_of_rates_unless_an_operator_chooses_otherwise() {
        let default = LimitHeaders::default();
        let names = LimitHeaders::NAMES.iter();
        let name = names.clone().find(|(_, value)| *value == default);
        assert_eq!(name.map(|(name, _)| *name), Some("rates"));
        let values: Vec<LimitHeaders> = names.map(|(_, value)| *value).collect();
        let all = [LimitHeaders::All, LimitHeaders::Rates, LimitHeaders::None];
        assert_eq!(values, all);
    }

    #[test]
    fn a_budget_is_refused_with_one_of_three_statuses() {
        for status in BudgetStatus::ALL {
            assert_eq!(BudgetStatus::of(status.code()), Some(status));
        }
        for none in [0, 200, 400, 401, 404, 500] {
            assert_eq!(BudgetStatus::of(none), None, "{none}");
        }
    }
}
