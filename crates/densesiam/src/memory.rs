//! Checks before a task begins, as far as possible, whether this machine has enough memory for it.

use densesiam_engine::environment::memory_bytes;

use crate::error::Error;

/// Fails if the views alone would fill the memory: those of `prefetch` waiting batches and of the batch in use. Each sample has
/// views of these `sizes`.
///
/// # Errors
/// [`Error::Usage`] with the settings that can be lowered.
pub fn views_fit(batch_size: usize, prefetch: usize, sizes: &[u32]) -> Result<(), Error> {
    let batch: f64 = sizes.iter().map(|&size| bytes_of_pictures(batch_size, size)).sum();
    fits(batch * (prefetch as f64 + 1.0), "train.batch_size, data.prefetch and augment.size")
}

/// Bytes of `count` square pictures with three colour channels.
pub fn bytes_of_pictures(count: usize, side: u32) -> f64 {
    3.0 * count as f64 * f64::from(side).powi(2)
}

/// Fails if `bytes`, the memory that the named settings need, are more than the machine has. If the system does not say
/// how much memory it has, nothing is checked.
///
/// # Errors
/// [`Error::Usage`] with the settings.
pub fn fits(bytes: f64, settings: &str) -> Result<(), Error> {
    let gigabytes = |bytes: f64| bytes / 1e9;
    match memory_bytes().map(|all| all as f64) {
        Some(all) if bytes > all => Err(Error::Usage(format!(
            "{settings} come to {:.0} GB at once, and this machine has {:.0} GB of memory; set one of them \
             lower",
            gigabytes(bytes),
            gigabytes(all)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_holds_is_refused_by_its_settings() {
        assert!(views_fit(64, 2, &[224; 2]).is_ok());
        let refused = views_fit(65_536, 1024, &[8192; 2]).unwrap_err().to_string();
        assert!(refused.contains("train.batch_size") && refused.contains("GB"), "{refused}");
    }
}
