//! How libtorch's threads wait for each other: in a busy loop, until the next operation has work for them. If other
//! processes need the cores, a spinning thread keeps the core from the very thread that it waits for. The loop is
//! therefore kept short; after it, a thread sleeps until there is work.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Iterations of the loop: a few microseconds, about the time until the next operation begins.
const SPIN_COUNT: &str = "1000";

/// The variable of GNU OpenMP for the number of iterations, and the standard variable for whether to wait in a loop at
/// all.
const SPIN_VARIABLES: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// Limits the loop for this process, unless the environment says how to wait. OpenMP reads the environment when it is
/// loaded, before `main`, so the program is executed again in the same process with the same arguments. If the system
/// refuses that, the program continues unchanged.
pub fn bound_spinning() {
    if SPIN_VARIABLES.iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = env::args_os();
    if let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) {
        // Returns only if it fails.
        let _ = Command::new(program).arg0(name).args(arguments).env(SPIN_VARIABLES[0], SPIN_COUNT).exec();
    }
}
