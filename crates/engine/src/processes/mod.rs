//! How the processes of one training are started, and how they find each other.

pub mod membership;
pub mod parent;

use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

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
        self.serves().then(|| StoreServer::start(self.store.port)).transpose()
    }

    fn serves(&self) -> bool {
        self.store.served_by == ServedBy::RankZero && self.rank == 0
    }

    /// Waits until the name of the store's host is known here: where machines start together, a name server may learn it later. The
    /// process that serves the store needs no name.
    ///
    /// # Errors
    /// [`MembershipError::UnknownHost`] if it is not known after `patience`.
    pub fn find_store(&self, patience: Duration) -> Result<(), MembershipError> {
        if self.serves() {
            return Ok(());
        }
        let start = Instant::now();
        loop {
            match (self.store.host.as_str(), self.store.port).to_socket_addrs() {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() >= patience => {
                    let (host, reason) = (self.store.host.clone(), error.to_string());
                    return Err(MembershipError::UnknownHost { host, reason });
                }
                Err(_) => sleep(Duration::from_secs(1).min(patience)),
            }
        }
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
        Group::join((&self.host(), self.store.port), false, &name, [rank, world], timeout)
    }

    /// The store's host. On that machine its name may stand for 127.0.x.x, where processes of other machines would look for this
    /// one in vain: then, the address that packets to other machines have.
    fn host(&self) -> String {
        let host = &self.store.host;
        let is_name = host.parse::<IpAddr>().is_err();
        let leads_here = || {
            let found = (host.as_str(), self.store.port).to_socket_addrs();
            found.is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()))
        };
        let outward = (self.local_world < self.world && is_name && leads_here()).then(outward_address);
        outward.and_then(Result::ok).map_or_else(|| host.clone(), |address| address.to_string())
    }
}

/// The address of this machine on the way out of it. Nothing is sent.
fn outward_address() -> io::Result<IpAddr> {
    // An address that documentation is written with, and no machine has.
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((elsewhere, 9))?;
    socket.local_addr().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::membership::{Launcher, StoreAddress};
    use super::*;

    #[test]
    fn a_host_that_nobody_knows_is_named_but_not_to_the_one_who_serves() {
        let place = |rank| {
            let store = StoreAddress {
                host: "no-such-host.invalid".into(),
                port: 29500,
                served_by: ServedBy::RankZero,
            };
            let launcher = Launcher::Torchrun;
            Membership { rank, world: 2, local_rank: 0, local_world: 1, store, restarts: 0, launcher }
        };
        assert_eq!(place(0).find_store(Duration::ZERO), Ok(()));
        let told = place(1).find_store(Duration::ZERO).unwrap_err().to_string();
        assert!(told.contains("no-such-host.invalid") && told.contains("MASTER_ADDR"), "{told}");
    }

    #[test]
    fn a_name_for_this_machine_itself_is_replaced_where_there_are_others() {
        let host = |host: &str, local_world| {
            let store = StoreAddress { host: host.into(), port: 29500, served_by: ServedBy::RankZero };
            let (local_rank, launcher) = (0, Launcher::Torchrun);
            let place =
                Membership { rank: 0, world: 2, local_rank, local_world, store, restarts: 0, launcher };
            place.host()
        };
        assert_eq!(host("localhost", 2), "localhost");
        assert_eq!(host("127.0.0.1", 1), "127.0.0.1", "an address is meant");
        let outward = outward_address().map_or("localhost".to_owned(), |address| address.to_string());
        assert_eq!(host("localhost", 1), outward);
    }
}
