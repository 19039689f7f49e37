//! Contrast of rows with positives and negatives.

use densesiam_torch_ext::Group;
use tch::{Kind, Tensor};

use crate::losses::{loss_kind, of_nothing};

/// A contrast of rows with their positives.
#[derive(Debug)]
pub struct Contrasted {
    /// The mean over all rows, to be differentiated.
    pub loss: Tensor,
    /// The share of rows that are more similar to their positive than to any negative: MoCo's accuracy.
    pub accuracy: Tensor,
}

/// InfoNCE (van den Oord et al. 2018; MoCo, eq. 1): `-log(exp(q.k/t) / (exp(q.k/t) + sum over the negatives))` of unit rows
/// `q` and `k`, `[rows, D]`, against the unit columns `negatives`, `[D, K]`.
pub fn info_nce(q: &Tensor, k: &Tensor, negatives: &Tensor, temperature: f64) -> Contrasted {
    let kind = loss_kind(q.kind());
    let [q, k, negatives] = [q, k, negatives].map(|of| of.to_kind(kind));
    let positive = (&q * &k).sum_dim_intlist(1, true, kind);
    // The rows are divided, and not the similarities, of which there is so only one copy.
    contrasted(&(positive / temperature), &(q / temperature).matmul(&negatives))
}

/// The loss and the accuracy of similarities over the temperature: to the positive, `[rows, 1]`, and to negatives, `[rows, K]`.
fn contrasted(positive: &Tensor, negatives: &Tensor) -> Contrasted {
    let kind = positive.kind();
    if positive.numel() == 0 {
        let loss = of_nothing(positive) + of_nothing(negatives);
        return Contrasted { accuracy: loss.detach(), loss };
    }
    let loss = (positive.logaddexp(&negatives.logsumexp([1], true)) - positive).mean(kind);
    let closest = negatives.detach().amax([1], true);
    Contrasted { loss, accuracy: positive.detach().gt_tensor(&closest).to_kind(kind).mean(kind) }
}

/// NT-Xent (SimCLR, eq. 1): each of the unit rows of both views, `[B, D]`, has its other view as the positive and all other
/// rows of the batch of all processes as negatives. The gradient flows through every row. The loss is this process's
/// `share` of the mean over all rows.
///
/// Each process computes the loss of all rows, in which its own rows have their gradient: so every process has the whole
/// gradient of its rows without a second exchange.
pub fn nt_xent([one, two]: [&Tensor; 2], temperature: f64, group: &Group, share: f64) -> Contrasted {
    let kind = loss_kind(one.kind());
    let all = [one, two].map(|rows| with_rows_of_others(&rows.to_kind(kind), group));
    let (rows, pictures) = (Tensor::cat(&all, 0), all[0].size()[0]);
    let similar = rows.matmul(&rows.tr());
    let itself = Tensor::eye(2 * pictures, (Kind::Bool, rows.device()));
    let logits = similar.masked_fill(&itself, f64::NEG_INFINITY) / temperature;
    let positive = logits.roll([pictures], [1]).diagonal(0, 0, 1);
    let whole = (logits.logsumexp([1], false) - &positive).mean(kind);
    let best = logits.detach().amax([1], false);
    let accuracy = positive.detach().ge_tensor(&best).to_kind(kind).mean(kind) * share;
    Contrasted { loss: share_of_all(whole, share), accuracy }
}

/// The part of the loss of all rows that a process adds which computes the `whole` from its own rows and those of others: the
/// value is the share that sums to the whole, the gradient that of the whole.
pub(crate) fn share_of_all(whole: Tensor, share: f64) -> Tensor {
    if share == 1.0 { whole } else { &whole - whole.detach() * (1.0 - share) }
}

/// The rows of all processes, in their order, of which the own ones keep their gradient.
pub(crate) fn with_rows_of_others(rows: &Tensor, group: &Group) -> Tensor {
    if group.is_alone() {
        return rows.shallow_clone();
    }
    let (all, first) = group.gather_with_place(rows);
    let own = first + rows.size()[0];
    let after = all.size()[0] - own;
    Tensor::cat(&[&all.narrow(0, 0, first), rows, &all.narrow(0, own, after)], 0)
}
