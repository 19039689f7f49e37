//! Laws of the methods of other papers that hold for any weights.

use densesiam_geometry::{Point, Region, View};
use densesiam_nn::parts::Points;
use densesiam_nn::pretrain::vader;
use densesiam_nn::{Architecture, EncoderSettings, Group, Store};
use densesiam_random::{Key, Purpose, RngExt};
use tch::{Device, Kind, Tensor};

const PLACE: (Kind, Device) = (Kind::Double, Device::Cpu);

fn encoder() -> EncoderSettings {
    EncoderSettings { architecture: Architecture::ResNet18, ..EncoderSettings::default() }
}

fn noise(shape: &[i64], sample: u64) -> Tensor {
    let mut stream = Key::new(3, Purpose::Demo).sample(sample).rng();
    let count = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..count).map(|_| stream.random_range(-1.0..1.0)).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn keys(count: usize) -> Vec<Key> {
    (0..count as u64).map(|sample| Key::new(1, Purpose::Points).sample(sample)).collect()
}

fn value(tensor: &Tensor) -> f64 {
    tensor.double_value(&[])
}

fn view([x0, y0, x1, y1]: [f64; 4], flip: bool) -> View {
    View { crop: Region { x0, y0, x1, y1 }, flip }
}

fn overlapping() -> Vec<View> {
    vec![view([10.0, 20.0, 210.0, 180.0], false), view([60.0, 0.0, 300.0, 150.0], true)]
}

fn apart() -> Vec<View> {
    vec![view([0.0, 0.0, 50.0, 50.0], false), view([50.0, 0.0, 90.0, 50.0], false)]
}

fn small_vader() -> vader::Settings {
    let vader = vader::VaderSettings {
        points: 5,
        queue: 16,
        width: 16,
        dim: 8,
        norm_groups: 4,
        groups: 1,
        ..vader::VaderSettings::default()
    };
    vader::Settings { encoder: encoder(), vader }
}

#[test]
fn vaders_points_are_the_same_in_the_picture_and_belong_to_their_sample_alone() {
    let cuts = [overlapping(), apart(), overlapping()];
    let points = Points::draw(5, &cuts, &keys(3), PLACE, &Group::alone());
    assert_eq!((points.left_out, points.share), (1, 1.0));
    assert_eq!(Vec::<i64>::try_from(points.kept.unwrap()).unwrap(), [0, 2]);
    let coordinates = points.of_views.each_ref().map(|of_view| {
        assert_eq!(of_view.size(), [2, 5, 1, 2]);
        Vec::<f64>::try_from(of_view.flatten(0, -1)).unwrap()
    });
    for (one, two) in coordinates[0].chunks(2).zip(coordinates[1].chunks(2)) {
        let [one, two] = [(0, one), (1, two)]
            .map(|(view, xy)| overlapping()[view].image_from_view(Point { x: xy[0], y: xy[1] }));
        assert!((one.x - two.x).abs() < 1e-9 && (one.y - two.y).abs() < 1e-9, "{one:?} {two:?}");
        assert!((60.0..=210.0).contains(&one.x) && (20.0..=150.0).contains(&one.y), "{one:?}");
    }
    let alone = Points::draw(5, &cuts[2..], &keys(3)[2..], PLACE, &Group::alone());
    assert_eq!(value(&(points.of_views[0].get(1) - alone.of_views[0].get(0)).abs().max()), 0.0);
    assert_ne!(value(&(points.of_views[0].get(0) - points.of_views[0].get(1)).abs().max()), 0.0);
}

#[test]
fn vader_trains_with_any_number_of_points_in_any_kind() {
    // More keys than columns, fewer, and none; the maps of 72 pixels have odd sides.
    for (cuts, size, queued) in [
        (vec![overlapping(); 4], 72, 20),
        (vec![overlapping(), apart(), apart(), overlapping()], 64, 10),
        (vec![apart(); 4], 64, 0),
    ] {
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let store_kind = if kind == Kind::Double { kind } else { Kind::Float };
            let store = Store::new(store_kind, Device::Cpu, 7);
            let mut model = vader::Vader::new(&store, &small_vader());
            let find = |name: &str| store.state().into_iter().find(|(other, _)| other == name).unwrap().1;
            let before = find("queue").copy();
            let points = Points::draw(5, &cuts, &keys(4), (kind, Device::Cpu), &Group::alone());
            let views = [0, 1].map(|view| noise(&[4, 3, size, size], view).to_kind(kind));
            let order = Tensor::from_slice(&[2i64, 0, 3, 1]);
            let (losses, _) = model.forward(views.each_ref(), &points, &order);
            losses.total.backward();
            assert_eq!(losses.total.kind(), store_kind);
            assert_eq!(value(&losses.total) > 0.0, queued > 0);
            for (name, parameter) in store.parameters() {
                let gradient = parameter.grad();
                assert!(gradient.defined() && bool::try_from(gradient.isfinite().all()).unwrap(), "{name}");
            }
            model.follow_by(0.5, &Tensor::from(0.0f32));
            assert_eq!(find("queue_ptr").int64_value(&[]), queued % 16);
            let written = (find("queue") - before).abs().amax([0], false).gt(0.0).sum(Kind::Int64);
            assert_eq!(written.int64_value(&[]), queued.min(16));
        }
    }
}
