//! Panics as values.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is one that is caught, and of which its catcher says all that there is to say.
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`. Where it panics, the error is what the panic said; the caller must give up or overwrite whatever
/// `work` was changing.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic))
}

/// As [`caught`], and nothing is printed of the panic: for code of others that trips over a file, which is a finding and
/// no fault. Panics of other threads, and of this one outside of `work`, are printed as ever.
pub(crate) fn caught_silently<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !SILENT.get() {
                print(panic);
            }
        }));
    });
    let before = SILENT.replace(true);
    let result = caught(work);
    SILENT.set(before);
    result
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// In a process of its own, whose standard error is read.
    #[test]
    fn of_panics_that_are_findings_nothing_is_printed() {
        let inner = "panics::tests::panics_of_all_kinds";
        let output = Command::new(std::env::current_exe().unwrap())
            .args([inner, "--exact", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        assert!(!printed.contains("finding"), "{printed}");
        for fault in ["fault before", "fault within", "fault beside", "fault after"] {
            assert!(printed.contains(fault), "{fault} is not in {printed}");
        }
    }

    #[test]
    #[ignore = "the test above runs it"]
    fn panics_of_all_kinds() {
        assert_eq!(caught(|| panic!("fault before")), Err("fault before".into()));
        assert_eq!(caught_silently(|| panic!("first finding")), Err("first finding".into()));
        assert_eq!(caught(|| panic!("fault within")), Err("fault within".into()));
        let beside = || std::thread::spawn(|| panic!("fault beside")).join().is_err();
        assert_eq!(caught_silently(beside), Ok(true));
        let nested = || {
            assert!(caught_silently(|| panic!("inner finding")).is_err());
            panic!("outer finding")
        };
        assert_eq!(caught_silently(nested), Err::<(), _>("outer finding".into()));
        assert_eq!(caught(|| panic!("fault after")), Err("fault after".into()));
    }
}
