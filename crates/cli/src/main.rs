//! The `densesiam` program: parses the command line, runs the command, and turns an error into a sentence and an exit
//! code.

use std::panic::catch_unwind;

use densesiam::error::Error;
use densesiam_engine::log::say;
use tikv_jemallocator::Jemalloc;

mod answer;
mod commands;
mod exit_code;

use commands::{command_line, name, run, speaks};
use exit_code::ExitCode;

/// libtorch uses this allocator too. Its settings in .cargo/config.toml keep freed memory for the next step, in huge
/// pages, because the system clears every page that it hands out, and on a processor that took a quarter of the step.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    let code = match catch_unwind(program) {
        Ok(Ok(())) => ExitCode::Success,
        Ok(Err(error)) => {
            let code = ExitCode::of(&error);
            // A request to stop is not a fault; neither is a reader that closes the answer early (`| head`).
            match error {
                // One process says it for all.
                asked if asked.was_asked_for() && !speaks() => {}
                asked if asked.was_asked_for() => say(asked),
                _ if code == ExitCode::Unread => {}
                fault => say(format_args!("{}error: {fault}", name())),
            }
            code
        }
        // A panic has already printed its message: a fault of the program, or libtorch out of memory.
        Err(_) => {
            say(
                "error: the program failed; if memory was short use a smaller train.batch_size, else please report this",
            );
            ExitCode::Internal
        }
    };
    std::process::ExitCode::from(code as u8)
}

fn program() -> Result<(), Error> {
    if std::env::current_dir().is_err() {
        say("WARNING: the folder that you are in was deleted; only absolute paths lead anywhere from here");
    }
    command_line()?.map_or(Ok(()), run)
}
