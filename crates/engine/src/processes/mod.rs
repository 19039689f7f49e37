//! How the processes of one training are started, and how they find each other.

pub mod membership;
pub mod parent;

use std::time::Duration;

use densesiam_torch_ext::{Group, GroupError};

pub use membership::{Membership, MembershipError};

use membership::ServedBy;

impl Membership {
    /// The place of this process, if a launcher has started it as one of several.
    ///
    /// # Errors
    /// As [`Membership::from_environment`].
    pub fn of_this_process() -> Result<Option<Self>, MembershipError> {
        Self::from_environment(&|name| std::env::var(name).ok())
    }

    /// Meets the other processes; `timeout` is the longest wait for them, now and in every step.
    ///
    /// # Errors
    /// When a process does not come.
    pub fn join(&self, timeout: Duration) -> Result<Group, GroupError> {
        let serves = self.store.served_by == ServedBy::RankZero && self.rank == 0;
        // What an earlier attempt has left in a launcher's store is not read.
        let name = format!("densesiam/{}", self.restarts);
        Group::join((&self.store.host, self.store.port), serves, &name, [self.rank, self.world], timeout)
    }
}
