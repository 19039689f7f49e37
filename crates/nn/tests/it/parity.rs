//! How close a step has to be to its test vectors (FIXTURES: how close).

use tch::{Kind, Tensor};

use crate::fixtures::Fixture;
use densesiam_nn::Store;

pub(crate) type Named = (&'static str, f64);

pub(crate) fn assert_close(what: &str, found: f64, expected: f64, absolute: f64, relative: f64) {
    let limit = absolute + relative * expected.abs();
    assert!((found - expected).abs() <= limit, "{what}: {found} is not {expected} within {limit:e}");
}

fn norm(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).norm().double_value(&[])
}

fn find(tensors: &[(String, Tensor)], name: &str) -> Tensor {
    let found = tensors.iter().find(|(other, _)| other == name);
    found.unwrap_or_else(|| panic!("the model has no {name}")).1.shallow_clone()
}

/// Losses, gradients of all parameters and all running statistics, in float64.
pub(crate) fn assert_parity(fixture: &Fixture, store: &Store, losses: &[Named]) {
    assert_losses(fixture, losses);
    assert_gradients(fixture, &store.parameters(), 1e-8);
    assert_buffers(fixture, &store.state());
}

pub(crate) fn assert_losses(fixture: &Fixture, losses: &[Named]) {
    for &(name, loss) in losses {
        assert_close(&format!("{} {name}", fixture.name), loss, fixture.number(name), 1e-8, 1e-6);
    }
}

/// The gradients of all parameters, under the fixture's names. One that is 0 by law is so up to rounding, within `nothing`.
pub(crate) fn assert_gradients(fixture: &Fixture, parameters: &[(String, Tensor)], nothing: f64) {
    let names = fixture.names_under("gradnorm.");
    assert_eq!(names.len(), parameters.len(), "{}: parameters", fixture.name);
    for name in names {
        let gradient = find(parameters, name).grad();
        let expected = fixture.number(&format!("gradnorm.{name}"));
        assert_close(&format!("{} d {name}", fixture.name), norm(&gradient), expected, nothing, 1e-6);
        assert_heads_agree(fixture, name, &gradient, nothing);
    }
}

/// All running statistics, under the fixture's names.
pub(crate) fn assert_buffers(fixture: &Fixture, state: &[(String, Tensor)]) {
    for name in fixture.names_under("buffernorm.") {
        let expected = fixture.number(&format!("buffernorm.{name}"));
        assert_close(&format!("{} {name}", fixture.name), norm(&find(state, name)), expected, 1e-8, 1e-6);
    }
}

/// The parameters of a teacher, in float64.
pub(crate) fn assert_teacher_parity(fixture: &Fixture, store: &Store) {
    let state = store.state();
    let names = fixture.names_under("keynorm.");
    assert_eq!(
        names.len(),
        store.student_and_teacher(false).len(),
        "{}: a teacher's parameters",
        fixture.name
    );
    for name in names {
        let expected = fixture.number(&format!("keynorm.{name}"));
        assert_close(&format!("{} {name}", fixture.name), norm(&find(&state, name)), expected, 1e-8, 1e-6);
    }
}

/// A tensor of the model or of a step, entry by entry, in float64.
pub(crate) fn assert_same(fixture: &Fixture, name: &str, found: &Tensor) {
    let expected = fixture.tensor(name).to_kind(Kind::Double);
    assert_eq!(found.size(), expected.size(), "{} {name}", fixture.name);
    let limit = expected.abs() * 1e-6 + 1e-8;
    let excess = (found.to_kind(Kind::Double) - expected).abs() - limit;
    let excess = excess.max().double_value(&[]);
    assert!(excess <= 0.0, "{} {name}: {excess:e} too far", fixture.name);
}

fn assert_heads_agree(fixture: &Fixture, name: &str, gradient: &Tensor, nothing: f64) {
    let head = fixture.tensor(&format!("gradhead.{name}")).to_kind(Kind::Double).flatten(0, -1);
    let found = gradient.contiguous().flatten(0, -1).narrow(0, 0, head.size()[0]);
    let limit = 1e-6 * head.abs().max().double_value(&[]) + nothing;
    let difference = (found - &head).abs().max().double_value(&[]);
    assert!(difference <= limit, "{} gradient head of {name}: {difference:e} > {limit:e}", fixture.name);
}

/// The same in float32, loosely: rounding is amplified by batch norm over four rows.
pub(crate) fn assert_smoke(fixture: &Fixture, store: &Store, losses: &[Named], loose: impl Fn(&str) -> bool) {
    for &(name, loss) in losses {
        let expected = fixture.number(name);
        let absolute = if expected.abs() < 1e-2 || loose(name) { 1e-3 } else { 1e-4 };
        assert_close(&format!("{} {name}", fixture.name), loss, expected, absolute, 1e-5);
    }
    let parameters = store.parameters();
    for name in fixture.names_under("gradnorm.") {
        let expected = fixture.number(&format!("gradnorm.{name}"));
        let found = norm(&find(&parameters, name).grad());
        assert_close(&format!("{} d {name}", fixture.name), found, expected, 1e-6, 2e-2);
    }
}
