//! Queues of keys: the negatives of the MoCo family (He et al. 2020, section 3.2).

use densesiam_torch_ext::Group;
use tch::{Kind, Tensor};

use crate::store::Scope;

/// The newest keys of earlier steps, as unit columns. Keys wait until the step that made them has been taken, so that no batch
/// meets its own keys.
#[derive(Debug)]
pub struct Queue {
    columns: Tensor,
    next: Tensor,
    waiting: Option<Tensor>,
    group: Group,
}

impl Queue {
    /// `size` columns of `dim` numbers that begin random. The buffers are called `NAME` and `NAME_ptr`.
    pub fn new(scope: &Scope, name: &str, dim: i64, size: i64) -> Self {
        Self {
            columns: scope.unit_columns(name, [dim, size]),
            next: scope.counter(&format!("{name}_ptr")),
            waiting: None,
            group: scope.group().clone(),
        }
    }

    /// The columns, `[D, K]`.
    pub fn columns(&self) -> &Tensor {
        &self.columns
    }

    /// Keys `[rows, D]` of this step, of length 1.
    pub fn wait(&mut self, keys: &Tensor) {
        self.waiting = Some(keys.detach());
    }

    /// Writes the waiting keys of all processes over the oldest columns, around the end. Nothing is written if `skip`, a scalar
    /// on the device, is 1.
    pub fn follow(&mut self, skip: &Tensor) {
        let Some(keys) = self.waiting.take() else { return };
        tch::no_grad(|| {
            let keys = self.group.gather(&keys.to_kind(self.columns.kind())).tr();
            let (rows, size, device) = (keys.size()[1], self.columns.size()[1], self.columns.device());
            // Of more keys than columns the last ones stay.
            let (first, rows) = ((rows - size).max(0), rows.min(size));
            let keys = keys.narrow(1, first, rows);
            let places = (Tensor::arange(rows, (Kind::Int64, device)) + &self.next + first).remainder(size);
            let before = self.columns.index_select(1, &places);
            let written = keys.where_self(&skip.eq(0.0), &before);
            let _ = self.columns.shallow_clone().index_copy_(1, &places, &written);
            let moved = skip.eq(0.0).to_kind(Kind::Int64) * (first + rows);
            let next = (&self.next + moved).remainder(size);
            self.next.copy_(&next);
        });
    }
}
