//! Pooling of boxes against torchvision and an exact integral, and its laws.

use densesiam_geometry::Region;
use densesiam_nn::parts::{Reading, pool};
use tch::Kind;

use crate::fixtures::{family, view_by_name};
use crate::parity::assert_same;

fn region([x0, y0, x1, y1]: [f64; 4]) -> Region {
    Region { x0, y0, x1, y1 }
}

#[test]
fn parity_rival_pooling() {
    for fixture in family("rival-pool") {
        let (pictures, edges) = (fixture.tensor("picture"), fixture.tensor("boxes"));
        let boxes: Vec<_> = (0..edges.size()[0])
            .map(|row| {
                let edges = [0, 1, 2, 3].map(|edge| edges.double_value(&[row, edge]));
                (pictures.int64_value(&[row]) as usize, region(edges))
            })
            .collect();
        let readings = [
            ("exact", 1, Reading::Exact),
            ("align_1", 1, Reading::Align { aligned: false }),
            ("align_7", 7, Reading::Align { aligned: true }),
        ];
        for (name, bins, reading) in readings {
            let map = fixture.tensor("map").copy().set_requires_grad(true);
            let expected = fixture.tensor(name).size();
            let values = pool(&map, &boxes, 1, bins, reading).reshape(&expected);
            assert_same(&fixture, name, &values);
            let upstream = view_by_name(&format!("upstream.{name}"), &expected, fixture.setting("seed"));
            (values * upstream).sum(Kind::Double).backward();
            assert_same(&fixture, &format!("gradient.{name}"), &map.grad());
        }
    }
}

/// The whole map in bins of a cell is the map, and of a mirrored map the aligned values of the mirrored box are the same.
#[test]
fn pooling_of_the_whole_map_and_of_a_mirrored_map() {
    let map = view_by_name("map", &[2, 3, 5, 5], 3);
    let aligned = Reading::Align { aligned: true };
    let whole = [(0, region([0.0, 0.0, 5.0, 5.0])), (1, region([0.0, 0.0, 5.0, 5.0]))];
    let difference = pool(&map, &whole, 1, 5, aligned) - &map;
    assert!(difference.abs().max().double_value(&[]) < 1e-12);

    let (one, other) = (region([0.7, 1.2, 3.1, 4.4]), region([1.9, 1.2, 4.3, 4.4]));
    let plain = pool(&map, &[(1, one)], 1, 2, aligned);
    let mirrored = pool(&map.flip([3]), &[(1, other)], 1, 2, aligned).flip([3]);
    assert!((plain - mirrored).abs().max().double_value(&[]) < 1e-12);
}

/// A batch may have no box at all, and the gradient of nothing is 0.
#[test]
fn pooling_of_no_box() {
    let map = view_by_name("map", &[2, 3, 5, 5], 3).set_requires_grad(true);
    let none = pool(&map, &[], 1, 1, Reading::Exact);
    assert_eq!(none.size(), [0, 3, 1, 1]);
    none.sum(Kind::Double).backward();
    assert_eq!(map.grad().abs().max().double_value(&[]), 0.0);
}
