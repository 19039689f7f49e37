//! Batch norm in parts of a shuffled batch, as on several cards (MoCo, section 3.3).

use densesiam_random::{Key, Purpose, RngExt};
use densesiam_settings::duration::Now;
use densesiam_settings::{SettingError, require};
use densesiam_torch_ext::upload;
use tch::{Device, Tensor};

/// An order of the pictures of a batch, drawn for one step: `[B]`. `keys` are those of the batch.
pub(crate) fn order(keys: &[Key], now: Now, device: Device) -> Tensor {
    let mut places: Vec<i64> = (0..keys.len() as i64).collect();
    if let Some(first) = keys.first() {
        let mut stream = Key { sample: now.step, view: 0, purpose: Purpose::Shuffle, ..*first }.rng();
        for last in (1..places.len()).rev() {
            places.swap(last, stream.random_range(0..=last as u64) as usize);
        }
    }
    upload(&places, &[places.len() as i64], device)
}

/// What `network` makes of a batch `[B, ...]` in this order, put back in the batch's own.
pub(crate) fn shuffled<const N: usize>(
    batch: &Tensor,
    order: &Tensor,
    network: impl FnOnce(&Tensor) -> [Tensor; N],
) -> [Tensor; N] {
    network(&batch.index_select(0, order)).map(|output| unshuffled(&output, order))
}

/// An output of a batch that passed in this order, put back in the batch's own.
pub(crate) fn unshuffled(output: &Tensor, order: &Tensor) -> Tensor {
    output.index_select(0, &order.argsort(0, false))
}

/// Checks that a batch can be normalised in equal parts.
///
/// # Errors
/// `key`, the setting of the number of parts, if it does not divide the batch, or if several processes have the batch.
pub(crate) fn divides(
    key: &'static str,
    groups: i64,
    batch_size: usize,
    processes: usize,
) -> Result<(), SettingError> {
    let divides = groups == 1 || (batch_size as i64 % groups == 0 && batch_size as i64 / groups >= 2);
    require(
        divides,
        key,
        &groups,
        "a divisor of train.batch_size that leaves at least two pictures to each part",
    )?;
    require(
        groups == 1 || processes == 1,
        key,
        &groups,
        "1 where several processes train: the parts of a batch are not divided among processes",
    )
}
