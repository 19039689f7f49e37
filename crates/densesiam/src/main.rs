//! The `densesiam` program: parses the command line, runs the command, and turns what went wrong into a sentence and
//! an exit code.

use std::panic::{self, catch_unwind};

use clap::Parser;
use densesiam::commands::{CommandLine, run};
use densesiam::error::ExitCode;
use densesiam_engine::log::say;
use tikv_jemallocator::Jemalloc;

/// libtorch's allocator too. Its settings, in .cargo/config.toml, keep freed memory for the next step, in huge pages: the
/// system clears every page that it hands out, and on a processor that took a quarter of the step.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    end_quietly_without_a_reader();
    let command = CommandLine::parse().command;
    let code = match catch_unwind(|| run(command)) {
        Ok(Ok(())) => ExitCode::Success,
        Ok(Err(error)) => {
            say(format_args!("error: {error}"));
            error.exit_code()
        }
        // What panics says so itself: a fault of the program, or libtorch out of memory.
        Err(_) => {
            say(
                "error: the program failed; if memory was short use a smaller train.batch_size, else please report this",
            );
            ExitCode::Internal
        }
    };
    std::process::ExitCode::from(code as u8)
}

/// Whoever reads an answer may have seen enough (`| head`), which is no fault; `print!` panics there.
fn end_quietly_without_a_reader() {
    let ordinary = panic::take_hook();
    panic::set_hook(Box::new(move |panic| match panic.payload().downcast_ref::<String>() {
        Some(said) if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") => {
            std::process::exit(ExitCode::Unread as i32)
        }
        _ => ordinary(panic),
    }));
}
