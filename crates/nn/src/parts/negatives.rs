//! Contrast of rows with positives and negatives.

use densesiam_torch_ext::Group;
use tch::{Kind, Tensor};

use super::regions::IDS;
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

/// A contrast of the regions of both views.
#[derive(Debug)]
pub struct RegionContrast {
    /// Of view 1's and of view 2's regions, to be differentiated.
    pub losses: [Tensor; 2],
    /// The share of the regions that are in the other view too.
    pub matched: Tensor,
}

/// The regions `u` of each view, unit rows `[rows, D]`, against all regions `v` of both views, unit rows `[B R, D]` whose ids are
/// `drawn`, `[B, R]`; `u` are those from row `first` on. The positives of a row are the rows of the same region in the other
/// view; the rows of the same region in its own view are left out, and share one weight. A row without a positive has no loss,
/// but counts in the mean.
pub fn region_contrast(
    u: [&Tensor; 2],
    v: [&Tensor; 2],
    drawn: [&Tensor; 2],
    first: i64,
    temperature: f64,
) -> RegionContrast {
    let picture = Tensor::arange(drawn[0].size()[0], (Kind::Int64, drawn[0].device())).unsqueeze(1);
    // One number for each region of each picture.
    let all = drawn.map(|ids| (ids + &picture * IDS).flatten(0, 1));
    let own = all.each_ref().map(|all| all.narrow(0, first, u[0].size()[0]));
    let of_view = |view: usize| {
        let other = 1 - view;
        let same = |all: &Tensor| own[view].unsqueeze(1).eq_tensor(&all.unsqueeze(0));
        let (positive, excluded) = (same(&all[other]), same(&all[view]));
        of_regions(u[view], [v[other], v[view]], [&positive, &excluded], temperature)
    };
    let ([one, matched1], [two, matched2]) = (of_view(0), of_view(1));
    RegionContrast { losses: [one, two], matched: (matched1 + matched2) * 0.5 }
}

/// The loss of the rows `u` of one view against the other view and their own, and the share of rows with a positive.
fn of_regions(
    u: &Tensor,
    [other, own]: [&Tensor; 2],
    [positive, excluded]: [&Tensor; 2],
    temperature: f64,
) -> [Tensor; 2] {
    if u.numel() == 0 {
        let loss = of_nothing(u);
        return [loss.shallow_clone(), loss.detach()];
    }
    let kind = u.kind();
    let count = |of: &Tensor| of.sum_dim_intlist(1, false, kind);
    let across = u.matmul(&other.tr()) / temperature;
    let within = u.matmul(&own.tr()).masked_fill(excluded, f64::NEG_INFINITY) / temperature;
    let positives = count(positive);
    let to_positives = count(&(&across * positive)) / positives.clamp_min(1.0);
    let cross_entropy = Tensor::cat(&[across, within], 1).logsumexp([1], false) - to_positives;
    let matched = positives.gt(0.0).to_kind(kind);
    [(&matched / count(excluded) * cross_entropy).mean(kind), matched.mean(kind)]
}
