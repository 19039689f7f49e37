use tch::{Tensor, Kind, Device};
fn cpu() -> f64 { std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6 }
fn time<T>(name: &str, n: f64, mut f: impl FnMut() -> T) { let _ = f(); let s = cpu(); for _ in 0..5 { let _ = std::hint::black_box(f()); } println!("{name}: {:.2} ms", (cpu() - s) / 5.0 / n); }
fn main() {
    tch::set_num_threads(1);
    for (b, n, h, w, ch, cw) in [(1, 11, 360, 480, 80, 106), (8, 11, 320, 320, 80, 80), (1, 27, 360, 480, 80, 106)] {
        let z = Tensor::randn([b, ch, cw, n], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]);
        println!("-- {b} x {n} x {h} x {w}, channels last");
        let b = b as f64;
        time("upsample", b, || z.upsample_bilinear2d([h, w], false, None, None));
        let up = z.upsample_bilinear2d([h, w], false, None, None);
        println!("strides {:?}", up.stride());
        time("argmax", b, || up.argmax(1, false));
        time("max_dim", b, || up.max_dim(1, false).1);
        time("contiguous", b, || up.contiguous());
        let c = up.contiguous();
        time("argmax nchw", b, || c.argmax(1, false));
        time("max_dim nchw", b, || c.max_dim(1, false).1);
        println!("equal {}", up.argmax(1, false).equal(&up.max_dim(1, false).1));
        let zc = z.contiguous();
        time("upsample nchw", b, || zc.upsample_bilinear2d([h, w], false, None, None));
        println!("same upsampling {}", zc.upsample_bilinear2d([h, w], false, None, None).equal(&up));
        time("to int16", b, || up.argmax(1, false).flatten(0, -1).to_kind(Kind::Int16));
        let running = || { let mut best = up.select(1, 0).contiguous(); let mut at = best.zeros_like().to_kind(Kind::Int16);
            for k in 1..n { let v = up.select(1, k); let m = v.gt_tensor(&best); best = best.maximum(&v); at = at.masked_fill(&m, k); } at };
        time("running", b, running);
        println!("equal {}", running().to_kind(Kind::Int64).equal(&up.argmax(1, false)));
    }
}
