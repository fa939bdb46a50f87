//! The accounts of this process by their identity: one for each, for as long as somebody refers to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limit::account::{Account, AccountId};

/// How many accounts there are at least before ended ones are looked for.
const FEW: usize = 1024;

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    accounts: HashMap<AccountId, Arc<Account>, ahash::RandomState>,
    /// At how many accounts ended ones are looked for.
    look_at: usize,
}

impl Registry {
    /// The account with this identity, and whether `create` has just created it.
    pub(super) fn account(
        &self,
        id: AccountId,
        create: fn(AccountId) -> Account,
    ) -> (Arc<Account>, bool) {
        let mut known = self.known();
        if let Some(account) = known.accounts.get(&id) {
            return (account.clone(), false);
        }
        let account = Arc::new(create(id.clone()));
        known.accounts.insert(id, account.clone());
        (account, true)
    }

    /// Forgets `account`, if only this registry and one other place refer to it. Returns whether it is forgotten.
    pub(super) fn forget(&self, account: &Arc<Account>) -> bool {
        let mut known = self.known();
        // Under the lock, nobody gets another reference from here.
        let is_unused = Arc::strong_count(account) <= 2;
        if is_unused {
            known.accounts.remove(account.id());
        }
        is_unused
    }

    /// Forgets accounts to which nobody else refers and whose period ended before `before`: for a ledger without a file.
    /// Looks for them only when there are twice as many accounts as after the last time.
    pub(super) fn forget_ended(&self, before: jiff::Timestamp) {
        let mut known = self.known();
        if known.accounts.len() < known.look_at.max(FEW) {
            return;
        }
        let is_used =
            |account: &Arc<Account>| Arc::strong_count(account) > 1 || account.id().end >= before;
        known.accounts.retain(|_, account| is_used(account));
        known.look_at = known.accounts.len() * 2;
    }

    /// How many accounts there are.
    pub(super) fn len(&self) -> usize {
        self.known().accounts.len()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
