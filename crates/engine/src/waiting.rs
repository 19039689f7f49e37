//! How libtorch's threads wait for each other: in a busy loop, until the next operation has work for them. Where other
//! processes want the cores, a thread that spins keeps the core from the very thread that it waits for; so the loop is cut
//! short, after which a thread sleeps until there is work.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Turns of the loop: some microseconds, which is as long as the next operation takes to begin.
const SPIN_COUNT: &str = "1000";

/// GNU OpenMP's own name for the turns, and the standard's for whether to wait in a loop at all.
const SPIN_VARIABLES: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// Bounds the loop for this process, unless the environment says how to wait. OpenMP reads the environment when it is loaded,
/// which is before `main`; so the program is executed once more, in the same process and with the same arguments. Where
/// the system refuses that, the program goes on as it is.
pub fn bound_spinning() {
    if SPIN_VARIABLES.iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = env::args_os();
    if let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) {
        // Returns only where it fails.
        let _ = Command::new(program).arg0(name).args(arguments).env(SPIN_VARIABLES[0], SPIN_COUNT).exec();
    }
}
