//! RoIAlign against the plain loop of `geometry`.

use densesiam_geometry::{Region, RoiAlign};
use densesiam_random::RngExt;

use super::place::places;
use super::*;

const SCALE: f64 = 0.125;

/// Boxes within pictures, partly and wholly outside, without area, inverted, far larger than the map and below a pixel.
fn boxes(pictures: i64, [height, width]: [i64; 2]) -> Vec<[f64; 5]> {
    let mut stream = Key::new(4, Purpose::Demo).rng();
    let (height, width) = (height as f64 / SCALE, width as f64 / SCALE);
    let mut boxes: Vec<[f64; 5]> = (0..20)
        .map(|index| {
            let [x, y] = [width, height].map(|side| stream.random_range(-0.3 * side..side));
            let [w, h] = [width, height].map(|side| stream.random_range(0.0..side));
            [(index % pictures) as f64, x, y, x + w, y + h]
        })
        .collect();
    boxes.extend([
        [0.0, 0.0, 0.0, width, height],
        [0.0, -5e8, -5e8, 1e9, 1e9],
        [0.0, 3.0, 3.0, 3.0, 9.0],
        [0.0, 9.0, 9.0, 3.0, 3.0],
        [0.0, 10.1, 10.2, 10.6, 10.4],
        [0.0, -500.0, -500.0, -400.0, -400.0],
    ]);
    boxes
}

/// The values and the map's gradient by the plain loop, in float64.
fn expected(map: &Tensor, of_values: &Tensor, boxes: &[[f64; 5]], bins: i64) -> [Tensor; 2] {
    let (size, numbers) =
        (map.size(), |tensor: &Tensor| Vec::<f64>::try_from(tensor.flatten(0, -1)).unwrap());
    let (map, of_values) = (numbers(map), numbers(of_values));
    let (cells, values_of_box) = ((size[2] * size[3]) as usize, (bins * bins) as usize);
    let align = RoiAlign { bins: bins as usize, scale: SCALE, samples: 0 };
    let (mut values, mut of_map) = (Vec::new(), vec![0.0; map.len()]);
    let of_channels = of_values.chunks_exact(values_of_box);
    let channels = (0..boxes.len()).flat_map(|index| (0..size[1]).map(move |channel| (index, channel)));
    for ((index, channel), of_values) in channels.zip(of_channels) {
        let [picture, x0, y0, x1, y1] = boxes[index];
        let (region, start) =
            (Region { x0, y0, x1, y1 }, (picture as usize * size[1] as usize + channel as usize) * cells);
        let sides = [size[2] as usize, size[3] as usize];
        values.extend(align.read(&map[start..start + cells], sides, &region));
        align.add_gradient(of_values, &mut of_map[start..start + cells], sides, &region);
    }
    let shape = [boxes.len() as i64, size[1], bins, bins];
    [Tensor::from_slice(&values).reshape(shape), Tensor::from_slice(&of_map).reshape(size)]
}

#[test]
fn roi_align_is_the_plain_loop() {
    for (bins, channels, height, width) in [(7, 40, 9, 13), (2, 3, 1, 5), (14, 64, 12, 7), (1, 33, 6, 6)] {
        // The plain loop takes a box of a billion pixels sample by sample, so it is asked for the same boxes cut to four maps around.
        let boxes = boxes(2, [height, width]);
        let far = boxes.iter().position(|of| of[1] < -1e8).unwrap();
        let mut near = boxes.clone();
        near.remove(far);
        let map = noise(&[2, channels, height, width], 1).to_kind(Kind::BFloat16).to_kind(Kind::Double);
        let of_values = noise(&[near.len() as i64, channels, bins, bins], 2);
        let of_values = of_values.to_kind(Kind::BFloat16).to_kind(Kind::Double);
        let expected = expected(&map, &of_values, &near, bins);
        for place in places() {
            for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5), (Kind::BFloat16, 0.01)] {
                let on_device = |tensor: &Tensor| tensor.to_kind(kind).to_device(place.device);
                let map = on_device(&map).copy().set_requires_grad(true);
                let values = roi_align(&map, &near, SCALE, bins);
                (&values * on_device(&of_values)).to_kind(Kind::Double).sum(Kind::Double).backward();
                assert_eq!((values.kind(), map.grad().kind()), (kind, kind));
                for (found, expected) in [(values.detach(), &expected[0]), (map.grad(), &expected[1])] {
                    let error = (found.to_kind(Kind::Double).to_device(Device::Cpu) - expected).abs().max();
                    let (error, scale) = (error.double_value(&[]), expected.abs().max().double_value(&[]));
                    assert!(error <= tolerance * scale, "{bins} {channels} {kind:?}: {error:e} of {scale:e}");
                }
                let far = roi_align(&map, &boxes, SCALE, bins).narrow(0, far as i64, 1);
                assert!(far.isfinite().all().int64_value(&[]) == 1, "a box far larger than the map");
            }
        }
    }
}

#[test]
fn roi_align_of_no_box_has_a_gradient_of_nothing() {
    for kind in [Kind::Float, Kind::Double] {
        let map = noise(&[2, 5, 3, 4], 1).to_kind(kind).set_requires_grad(true);
        let values = roi_align(&map, &[], SCALE, 7);
        assert_eq!(values.size(), [0, 5, 7, 7]);
        values.sum(kind).backward();
        assert_eq!(map.grad().abs().max().double_value(&[]), 0.0);
    }
}
