//! The exit codes that the program returns to the shell.

use std::io;

use densesiam::error::Error;
use densesiam_data::pack::PackError;
use densesiam_data::regions::RegionError;
use densesiam_engine::interrupt::Signal;

/// The exit codes of the program; documented in `docs/ARCHITECTURE.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// All went well.
    Success = 0,
    /// A fault of the program.
    Internal = 1,
    /// The command line or the recipe is wrong.
    Usage = 2,
    /// The pictures cannot be found or read, or something is wrong with their annotations.
    Data = 3,
    /// A run directory, checkpoint, other file or the answer cannot be read or written.
    File = 4,
    /// A loss was not finite.
    NotFinite = 5,
    /// The run was stopped because it collapsed.
    Collapsed = 6,
    /// The device is not available.
    Device = 7,
    /// Another process of the training was lost, or has other parameters.
    Lost = 8,
    /// Stopped by SIGHUP, because the terminal was closed; all is saved.
    HangUp = 129,
    /// Stopped by Ctrl-C; all is saved.
    Interrupted = 130,
    /// Stopped by SIGUSR1; all is saved.
    User1 = 138,
    /// The reader of the answer closed it before its end, as `head` does.
    Unread = 141,
    /// Stopped by SIGTERM; all is saved.
    Terminated = 143,
}

impl ExitCode {
    /// The exit code for an error.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Recipe(_)
            | Error::Home(_)
            | Error::Setting(_)
            | Error::Usage(_)
            | Error::NotText { .. } => Self::Usage,
            Error::Pack(PackError::Exists { .. } | PackError::Name { .. }) => Self::Usage,
            Error::Regions(RegionError::Exists { .. } | RegionError::Setting(_)) => Self::Usage,
            Error::Regions(RegionError::Write { .. }) => Self::File,
            Error::Pack(PackError::Nothing) => Self::Data,
            Error::Pack(PackError::Write { .. }) => Self::File,
            Error::DataSet(_)
            | Error::Objects(_)
            | Error::Score(_)
            | Error::VocResults(_)
            | Error::CocoResults(_)
            | Error::Reading(_)
            | Error::Index(_)
            | Error::Regions(_)
            | Error::Load(_)
            | Error::NoClusters(_)
            | Error::Picture { .. }
            | Error::NothingReadable { .. }
            | Error::Faulty { .. } => Self::Data,
            Error::RunDirectory(_) | Error::Checkpoint(_) | Error::TensorFile(_) => Self::File,
            Error::Answer(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::Unread,
            Error::Weights { .. }
            | Error::Answer(_)
            | Error::Demo(_)
            | Error::Log(_)
            | Error::CannotResume(_)
            | Error::File { .. } => Self::File,
            Error::Device(_) => Self::Device,
            Error::Lost { .. } | Error::Apart { .. } | Error::Elsewhere(_) => Self::Lost,
            Error::NotFinite { .. } => Self::NotFinite,
            Error::Collapsed { .. } => Self::Collapsed,
            Error::Interrupted(stop) => Self::of_signal(stop.signal),
            Error::Stopped { signal, .. }
            | Error::Unfinished { signal }
            | Error::RegionsStopped { signal, .. } => Self::of_signal(*signal),
            Error::Measurement { .. } | Error::Internal(_) => Self::Internal,
        }
    }

    fn of_signal(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::User1 => Self::User1,
            Signal::Terminate => Self::Terminated,
            Signal::HangUp => Self::HangUp,
        }
    }
}
