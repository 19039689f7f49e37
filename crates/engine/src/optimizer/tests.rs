//! Compares the optimizers with scalar loops, and tests the laws of their state.

use super::*;

const LEARNING_RATE: f64 = 0.1;

fn parameter(values: &[f64], shape: &[i64], kind: Kind) -> Tensor {
    Tensor::from_slice(values).reshape(shape).to_kind(kind).set_requires_grad(true)
}

/// A matrix and a vector, and the optimizer of both.
fn pair(settings: &OptimizerSettings, kind: Kind) -> (Vec<Tensor>, Optimizer) {
    let weight = parameter(&[0.5, -1.0, 2.0, 0.25], &[2, 2], kind);
    let bias = parameter(&[0.1, -0.3], &[2], kind);
    let named = vec![("fc.weight".into(), weight.shallow_clone()), ("fc.bias".into(), bias.shallow_clone())];
    let optimizer = Optimizer::new(settings, 256, &named, &[GroupRule::scheduled("all", "*")]).unwrap();
    (vec![weight, bias], optimizer)
}

/// Leaves `gradient` in `.grad` by a backward pass: the gradient of `(p * c).sum()` is `c`.
fn give_gradient(parameter: &Tensor, gradient: &[f64]) {
    let gradient = Tensor::from_slice(gradient).reshape(parameter.size()).to_kind(parameter.kind());
    (parameter * gradient).sum(parameter.kind()).backward();
}

fn gradients(step: usize) -> [Vec<f64>; 2] {
    let step = step as f64;
    [vec![0.3 - step, 0.2 * step, -0.7, 1.1], vec![0.4, 0.05 * step]]
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).unwrap()
}

fn run(optimizer: &mut Optimizer, parameters: &[Tensor], steps: std::ops::Range<usize>) {
    for step in steps {
        optimizer.zero_gradients();
        for (parameter, gradient) in parameters.iter().zip(gradients(step)) {
            give_gradient(parameter, &gradient);
        }
        optimizer.step(LEARNING_RATE, None);
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The values of one parameter by the formula, in plain arithmetic. `trust` is LARS's coefficient, `None` for SGD.
fn oracle(
    start: &[f64],
    of: usize,
    steps: usize,
    settings: &OptimizerSettings,
    trust: Option<f64>,
) -> Vec<f64> {
    let (mut values, mut momentum) = (start.to_vec(), vec![0.0; start.len()]);
    for step in 0..steps {
        let gradient = &gradients(step)[of];
        let decayed: Vec<f64> = values
            .iter()
            .zip(gradient)
            .map(|(value, gradient)| gradient + settings.weight_decay * value)
            .collect();
        let ratio = trust.map_or(1.0, |trust| trust * norm(&values) / norm(&decayed));
        for ((value, momentum), decayed) in values.iter_mut().zip(&mut momentum).zip(decayed) {
            *momentum = settings.momentum * *momentum + ratio * decayed;
            *value -= LEARNING_RATE * *momentum;
        }
    }
    values
}

fn assert_close(left: &[f64], right: &[f64], tolerance: f64) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(right) {
        assert!((left - right).abs() <= tolerance * right.abs().max(1.0), "{left} {right}");
    }
}

#[test]
fn sgd_follows_the_scalar_loop() {
    let settings = OptimizerSettings { weight_decay: 0.01, ..OptimizerSettings::default() };
    for (kind, tolerance) in [(Kind::Double, 1e-14), (Kind::Float, 1e-6)] {
        let (parameters, mut optimizer) = pair(&settings, kind);
        let starts: Vec<_> = parameters.iter().map(values).collect();
        run(&mut optimizer, &parameters, 0..5);
        for (of, (parameter, start)) in parameters.iter().zip(&starts).enumerate() {
            assert_close(&values(parameter), &oracle(start, of, 5, &settings, None), tolerance);
        }
    }
}

/// Adam's values of one parameter by the formula; a step of `skipped` changes nothing.
fn adam_oracle(start: &[f64], of: usize, steps: usize, weight_decay: f64, skipped: usize) -> Vec<f64> {
    let mut values = start.to_vec();
    let (mut means, mut squares, mut taken) = (vec![0.0; start.len()], vec![0.0; start.len()], 0);
    for step in (0..steps).filter(|&step| step != skipped) {
        taken += 1;
        for (place, gradient) in gradients(step)[of].iter().enumerate() {
            let gradient = gradient + weight_decay * values[place];
            means[place] = 0.9 * means[place] + 0.1 * gradient;
            squares[place] = 0.999 * squares[place] + 0.001 * gradient * gradient;
            let mean = means[place] / (1.0 - 0.9f64.powi(taken));
            let square: f64 = squares[place] / (1.0 - 0.999f64.powi(taken));
            values[place] -= LEARNING_RATE * mean / (square.sqrt() + 1e-8);
        }
    }
    values
}

#[test]
fn adam_follows_the_scalar_loop_and_a_skipped_step_does_not_count() {
    const SKIPPED: usize = 2;
    let settings =
        OptimizerSettings { kind: OptimizerKind::Adam, weight_decay: 0.01, ..OptimizerSettings::default() };
    for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
        let (parameters, mut optimizer) = pair(&settings, kind);
        let starts: Vec<_> = parameters.iter().map(values).collect();
        for step in 0..6 {
            optimizer.zero_gradients();
            for (parameter, gradient) in parameters.iter().zip(gradients(step)) {
                give_gradient(parameter, &gradient);
            }
            let skip = not_finite(&Tensor::from(if step == SKIPPED { f64::NAN } else { 0.0 }));
            optimizer.step(LEARNING_RATE, Some(&skip));
        }
        for (of, (parameter, start)) in parameters.iter().zip(&starts).enumerate() {
            assert_close(&values(parameter), &adam_oracle(start, of, 6, 0.01, SKIPPED), tolerance);
        }
    }
}

#[test]
fn adam_goes_on_from_its_state_and_forgets_what_it_is_told_to() {
    let settings = OptimizerSettings { kind: OptimizerKind::Adam, ..OptimizerSettings::default() };
    let (through, mut optimizer) = pair(&settings, Kind::Float);
    run(&mut optimizer, &through, 0..3);
    let state: Vec<_> = optimizer.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
    assert_eq!(state.len(), 6);
    let (resumed, mut second) = pair(&settings, Kind::Float);
    no_grad(|| resumed.iter().zip(&through).for_each(|(to, from)| to.shallow_clone().copy_(from)));
    second.load_state(&state).unwrap();
    run(&mut optimizer, &through, 3..6);
    run(&mut second, &resumed, 3..6);
    through.iter().zip(&resumed).for_each(|(one, two)| assert_eq!(values(one), values(two)));

    second.forget("fc.w");
    let largest = |optimizer: &Optimizer, name: &str| {
        let states = optimizer.state().into_iter().filter(|(state, _)| state.ends_with(name));
        states.map(|(_, tensor)| tensor.abs().max().double_value(&[])).fold(0.0, f64::max)
    };
    assert_eq!(largest(&second, "fc.weight"), 0.0);
    assert!(largest(&second, "fc.bias") > 0.0);
}

#[test]
fn lars_follows_the_scalar_loop_with_vectors_left_out() {
    let settings =
        OptimizerSettings { kind: OptimizerKind::Lars, weight_decay: 0.01, ..OptimizerSettings::default() };
    let (parameters, mut optimizer) = pair(&settings, Kind::Double);
    let starts: Vec<_> = parameters.iter().map(values).collect();
    run(&mut optimizer, &parameters, 0..5);
    let matrix = oracle(&starts[0], 0, 5, &settings, Some(settings.trust_coefficient));
    assert_close(&values(&parameters[0]), &matrix, 1e-14);
    assert_close(&values(&parameters[1]), &oracle(&starts[1], 1, 5, &settings, None), 1e-14);
}

#[test]
fn lars_takes_a_ratio_of_one_where_a_norm_is_zero() {
    let zero = parameter(&[0.0; 4], &[2, 2], Kind::Double);
    let gradient = parameter(&[1.0; 4], &[2, 2], Kind::Double);
    assert_eq!(values(&lars::scaled_gradient(&zero, &gradient, 0.1, 0.001)), [1.0; 4]);
    assert_eq!(values(&lars::scaled_gradient(&gradient, &zero, 0.0, 0.001)), [0.0; 4]);
}

#[test]
fn zero_buffers_equal_pytorchs_first_step_exactly() {
    let gradient: Vec<f64> = (0..64).map(|i| (f64::from(i) * 0.37).sin()).chain([-0.0, 1e-42]).collect();
    for kind in [Kind::Float, Kind::Double] {
        let outcomes = [true, false].map(|first_step| {
            let tensor = |values: &[f64]| Tensor::from_slice(values).to_kind(kind);
            let (parameter, momentum) =
                (tensor(&gradient.iter().map(|g| g * 1.7 + 0.1).collect::<Vec<_>>()), tensor(&gradient));
            let buffer = if first_step { momentum.full_like(7.0) } else { momentum.zeros_like() };
            let step = SgdStep { learning_rate: 0.05, momentum: 0.9, weight_decay: 1e-4, first_step };
            let lists = [&parameter, &momentum, &buffer].map(|tensor| [tensor.shallow_clone()]);
            fused_sgd(&lists[0], &lists[1], &lists[2], step, None);
            (values(&parameter), values(&buffer))
        });
        assert_eq!(outcomes[0], outcomes[1]);
    }
}

#[test]
fn a_parameter_without_gradient_is_left_alone_and_may_start_late() {
    let settings = OptimizerSettings { weight_decay: 0.1, ..OptimizerSettings::default() };
    let (parameters, mut optimizer) = pair(&settings, Kind::Double);
    let start = values(&parameters[1]);
    for step in 0..3 {
        optimizer.zero_gradients();
        give_gradient(&parameters[0], &gradients(step)[0]);
        assert!(!parameters[1].grad().defined());
        optimizer.step(LEARNING_RATE, None);
    }
    assert_eq!(values(&parameters[1]), start);
    run(&mut optimizer, &parameters, 0..2);
    assert_close(&values(&parameters[1]), &oracle(&start, 1, 2, &settings, None), 1e-14);
    // A loss that is switched off again must not leave a stale or a zero gradient behind.
    let before = values(&parameters[1]);
    optimizer.zero_gradients();
    give_gradient(&parameters[0], &gradients(0)[0]);
    optimizer.step(LEARNING_RATE, None);
    assert_eq!(values(&parameters[1]), before);
}

#[test]
fn a_fresh_optimizer_with_the_state_continues_bit_for_bit() {
    for kind in [OptimizerKind::Sgd, OptimizerKind::Lars] {
        let settings = OptimizerSettings { kind, ..OptimizerSettings::default() };
        let (whole, mut uninterrupted) = pair(&settings, Kind::Float);
        run(&mut uninterrupted, &whole, 0..8);

        let (first, mut interrupted) = pair(&settings, Kind::Float);
        run(&mut interrupted, &first, 0..4);
        let state: Vec<_> =
            interrupted.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let (second, mut fresh) = pair(&settings, Kind::Float);
        no_grad(|| second.iter().zip(&first).for_each(|(to, from)| to.shallow_clone().copy_(from)));
        fresh.load_state(&state).unwrap();
        run(&mut fresh, &second, 4..8);
        assert!(whole.iter().zip(&second).all(|(whole, second)| whole.equal(second)));
    }
}

#[test]
fn a_foreign_state_is_refused_and_changes_nothing() {
    let (parameters, mut optimizer) = pair(&OptimizerSettings::default(), Kind::Float);
    run(&mut optimizer, &parameters, 0..2);
    let good = optimizer.state();
    let copy = || good.iter().map(|(name, tensor)| (name.clone(), tensor.ones_like())).collect::<Vec<_>>();
    let before = values(&good[0].1);

    let mut missing = copy();
    missing.pop();
    assert!(
        matches!(optimizer.load_state(&missing), Err(StateError::Missing { name }) if name == "momentum.fc.bias")
    );
    let mut extra = copy();
    extra.push(("momentum.other".into(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
    assert!(matches!(optimizer.load_state(&extra), Err(StateError::Unexpected { .. })));
    let mut twice = copy();
    twice.push(("momentum.fc.bias".into(), twice[1].1.shallow_clone()));
    assert!(matches!(optimizer.load_state(&twice), Err(StateError::Unexpected { .. })));
    let mut shape = copy();
    shape[0].1 = shape[0].1.reshape([4]);
    assert!(matches!(optimizer.load_state(&shape), Err(StateError::Mismatch { .. })));
    let mut kind = copy();
    kind[1].1 = kind[1].1.to_kind(Kind::Double);
    assert!(matches!(optimizer.load_state(&kind), Err(StateError::Mismatch { .. })));
    assert_eq!(values(&optimizer.state()[0].1), before);
}

#[test]
fn found_inf_changes_nothing() {
    for kind in [OptimizerKind::Sgd, OptimizerKind::Lars] {
        for precision in [Kind::Float, Kind::Double] {
            let settings =
                OptimizerSettings { kind, clip_gradient_norm: 1.0, ..OptimizerSettings::default() };
            let (parameters, mut optimizer) = pair(&settings, precision);
            run(&mut optimizer, &parameters, 0..2);
            let all = |optimizer: &Optimizer| {
                let state = optimizer.state();
                parameters
                    .iter()
                    .chain(state.iter().map(|(_, tensor)| tensor))
                    .map(values)
                    .collect::<Vec<_>>()
            };
            let before = all(&optimizer);
            optimizer.zero_gradients();
            give_gradient(&parameters[0], &[f64::NAN, 1.0, 1.0, 1.0]);
            give_gradient(&parameters[1], &[1.0, 1.0]);
            optimizer.step(LEARNING_RATE, Some(&not_finite(&optimizer.gradient_norm())));
            assert_eq!(all(&optimizer), before);
            run(&mut optimizer, &parameters, 2..3);
            assert_ne!(all(&optimizer), before);
        }
    }
}

#[test]
fn gradient_norm_is_of_all_gradients_and_clipping_limits_it() {
    let settings = OptimizerSettings {
        clip_gradient_norm: 0.5,
        momentum: 0.0,
        weight_decay: 0.0,
        ..OptimizerSettings::default()
    };
    let (parameters, mut optimizer) = pair(&settings, Kind::Double);
    assert_eq!(values(&optimizer.gradient_norm()), [0.0]);
    give_gradient(&parameters[0], &[1.0, 2.0, 3.0, 4.0]);
    give_gradient(&parameters[1], &[5.0, 6.0]);
    let expected = norm(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(optimizer.gradient_norm().kind(), Kind::Float);
    assert_close(&values(&optimizer.gradient_norm()), &[expected], 1e-6);
    let start = values(&parameters[1]);
    optimizer.step(1.0, None);
    let moved: Vec<f64> =
        values(&parameters[1]).iter().zip(start).map(|(now, before)| before - now).collect();
    assert_close(&moved, &[5.0 * 0.5 / expected, 6.0 * 0.5 / expected], 1e-6);
    // A norm below the limit is left alone.
    optimizer.zero_gradients();
    give_gradient(&parameters[1], &[0.25, 0.0]);
    let start = values(&parameters[1]);
    optimizer.step(1.0, None);
    assert_eq!(values(&parameters[1])[0], start[0] - 0.25);
}

#[test]
fn fixed_groups_keep_the_peak_and_norms_may_go_undecayed() {
    let settings = OptimizerSettings {
        base_learning_rate: 0.2,
        momentum: 0.0,
        weight_decay: 0.5,
        decay_norms_and_biases: false,
        ..OptimizerSettings::default()
    };
    let names = ["encoder.weight", "encoder.bias", "predictor.weight"];
    let tensors = [[2, 1], [2, 1], [2, 1]].map(|shape| parameter(&[1.0, 1.0], &shape, Kind::Double));
    let bias = parameter(&[1.0, 1.0], &[2], Kind::Double);
    let tensors = [&tensors[0], &bias, &tensors[2]];
    let named: Vec<_> =
        names.iter().zip(tensors).map(|(name, tensor)| ((*name).into(), tensor.shallow_clone())).collect();
    let rules = [GroupRule::fixed("predictor", "predictor.*"), GroupRule::scheduled("rest", "*")];
    let mut optimizer = Optimizer::new(&settings, 128, &named, &rules).unwrap();
    for tensor in tensors {
        give_gradient(tensor, &[1.0, 1.0]);
    }
    optimizer.step(0.01, None);
    assert_close(&values(tensors[0]), &[1.0 - 0.01 * 1.5; 2], 1e-14);
    assert_close(&values(tensors[1]), &[1.0 - 0.01; 2], 1e-14);
    assert_close(&values(tensors[2]), &[1.0 - 0.1 * 1.5; 2], 1e-14);
    let lines: Vec<String> = optimizer.summary().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "predictor: 1 tensors, 2 parameters, learning rate 0.1 (fixed), weight decay 0.5",
            "rest: 1 tensors, 2 parameters, learning rate 0.1 (peak), weight decay 0.5",
            "rest, norms and biases: 1 tensors, 2 parameters, learning rate 0.1 (peak), weight decay 0",
        ]
    );
}

#[test]
fn norms_may_go_undecayed_where_the_biases_of_other_layers_are_not() {
    let settings =
        OptimizerSettings { momentum: 0.0, weight_decay: 0.5, decay_norms: false, ..Default::default() };
    let shapes: [(&str, &[i64]); 4] =
        [("conv.weight", &[2, 1]), ("conv.bias", &[2]), ("norm.weight", &[2]), ("norm.bias", &[2])];
    let named: Vec<(String, Tensor)> = shapes
        .iter()
        .map(|(name, shape)| ((*name).into(), parameter(&[1.0, 1.0], shape, Kind::Double)))
        .collect();
    let mut optimizer = Optimizer::new(&settings, 256, &named, &[GroupRule::scheduled("all", "*")]).unwrap();
    for (_, tensor) in &named {
        give_gradient(tensor, &[1.0, 1.0]);
    }
    optimizer.step(0.01, None);
    for ((name, tensor), decay) in named.iter().zip([0.5, 0.5, 0.0, 0.0]) {
        assert_close(&values(tensor), &[1.0 - 0.01 * (1.0 + decay); 2], 1e-14);
        assert!(tensor.requires_grad(), "{name}");
    }
}

fn channels_last(tensor: &Tensor) -> Tensor {
    tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[test]
fn a_gradient_of_another_layout_is_rearranged() {
    let options = (Kind::Double, Device::Cpu);
    let large = Tensor::arange(24, options).reshape([2, 3, 2, 2]);
    // A 1x1 kernel as channels_last convolutions return its gradient: other strides, the same order in memory.
    let small = Tensor::arange(6, options).reshape([2, 3, 1, 1]);
    let strided = small.as_strided([2, 3, 1, 1], [3, 1, 3, 3], None);
    for (parameter, gradient, is_copied) in [(channels_last(&large), large, true), (strided, small, false)] {
        assert_ne!(parameter.stride(), gradient.stride());
        let arranged = in_layout_of(&parameter, gradient.shallow_clone());
        assert_eq!(arranged.stride(), parameter.stride());
        assert!(arranged.equal(&gradient));
        assert_eq!(arranged.data_ptr() != gradient.data_ptr(), is_copied);
        assert_eq!(
            Member::new("kernel", &parameter, OptimizerKind::Sgd).state[0].stride(),
            parameter.stride()
        );
    }
}

#[test]
fn a_channels_last_kernel_is_stepped_as_a_contiguous_one() {
    let start = Tensor::arange(24, (Kind::Double, Device::Cpu)).reshape([2, 3, 2, 2]) * 0.1;
    let gradient: Vec<f64> = (0..24).map(|i| f64::from(i).sin()).collect();
    let outcomes = [start.copy(), channels_last(&start)].map(|kernel| {
        let kernel = kernel.set_requires_grad(true);
        let named = [("kernel".to_owned(), kernel.shallow_clone())];
        let rules = [GroupRule::scheduled("all", "*")];
        let mut optimizer = Optimizer::new(&OptimizerSettings::default(), 256, &named, &rules).unwrap();
        for _ in 0..2 {
            optimizer.zero_gradients();
            give_gradient(&kernel, &gradient);
            // autograd follows the parameter's layout; code that reduces gradients over processes may not.
            no_grad(|| kernel.grad().set_data(&kernel.grad().contiguous()));
            optimizer.step(LEARNING_RATE, None);
        }
        values(&kernel)
    });
    assert_eq!(outcomes[0], outcomes[1]);
}
