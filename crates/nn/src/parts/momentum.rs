//! Momentum encoders: a teacher whose weights follow the student's (He et al. 2020, eq. 2).

use densesiam_settings::duration::Now;
use tch::Tensor;

use crate::store::Store;

/// The weights of a student and of the teacher that follows it. Running statistics do not follow: they are of the teacher's own
/// passes.
#[derive(Debug)]
pub struct Momentum {
    student_and_teacher: Vec<[Tensor; 2]>,
}

impl Momentum {
    /// Of everything in `store` that has a teacher ([`Store::teacher`]).
    pub fn new(store: &Store) -> Self {
        Self { student_and_teacher: store.student_and_teacher(false) }
    }

    /// `teacher = momentum * teacher + (1 - momentum) * student`. Nothing changes if `skip`, a scalar on the device, is 1.
    pub fn follow(&self, momentum: f64, skip: &Tensor) {
        let taken = skip.eq(0.0);
        tch::no_grad(|| {
            for [student, teacher] in &self.student_and_teacher {
                // A student that is not finite must not reach the teacher, not even with a weight of 0.
                let towards = student.where_self(&taken, teacher);
                let _ = teacher.shallow_clone().lerp_(&towards, 1.0 - momentum);
            }
        });
    }
}

/// A momentum that rises from `start` at step 0 to 1 at the end along half a cosine (BYOL, section 3.3).
pub fn cosine_to_one(start: f64, now: Now) -> f64 {
    let done = now.step as f64 / now.horizon.total_steps as f64;
    1.0 - (1.0 - start) * ((std::f64::consts::PI * done).cos() + 1.0) / 2.0
}
