//! Compiles the kernels of torch-ext for this processor, once for each kind of value.

fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=../torch-ext/src/cuda");
    for (kind, name) in [("0", "emulated_float"), ("1", "emulated_bfloat16")] {
        compiler()
            .define("VALUE_IS_BFLOAT16", kind)
            .define("KIND", name)
            .file("src/kernels.cpp")
            .compile(name);
    }
    compiler().file("src/emulator.cpp").compile("emulator");
}

fn compiler() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).warnings(false).include("../torch-ext/src/cuda");
    // A vector that does not begin where one may, as a card would, ends the test.
    build.flag("-fsanitize=alignment,bounds").flag("-fsanitize-undefined-trap-on-error");
    build
}
