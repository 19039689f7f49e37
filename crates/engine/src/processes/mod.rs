//! How the processes of one training are started, and how they find each other.

pub mod membership;
pub mod parent;

use std::time::Duration;

use densesiam_torch_ext::{Group, GroupError, StoreServer};

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

    /// The store, where it is this process that has to serve it: as long as the others need it.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn serve(&self) -> Result<Option<StoreServer>, GroupError> {
        let serves = self.store.served_by == ServedBy::RankZero && self.rank == 0;
        serves.then(|| StoreServer::start(self.store.port)).transpose()
    }

    /// Meets the processes of the group `name`, of which this one is number `rank` of `world`; `timeout` is the longest wait for
    /// them, now and in every step.
    ///
    /// # Errors
    /// When a process does not come.
    pub fn join(
        &self,
        name: &str,
        [rank, world]: [usize; 2],
        timeout: Duration,
    ) -> Result<Group, GroupError> {
        // What an earlier attempt has left in a launcher's store is not read.
        let name = format!("densesiam/{}/{name}", self.restarts);
        Group::join((&self.store.host, self.store.port), false, &name, [rank, world], timeout)
    }
}
