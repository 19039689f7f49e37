//! Contrast of regions with the same regions of the other view, against all other regions (DetCon, eq. 3).

use tch::{Kind, Tensor};

use super::regions::IDS;
use crate::losses::of_nothing;

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
