//! Compiles the C++ side against the libtorch that tch is built with, and tells dependents where it lies.

use std::path::{Path, PathBuf};

/// The folders of C++ in `src`. They hold no Rust, so that a change of Rust alone compiles no C++ again.
const FOLDERS: [&str; 5] = ["layers", "processor", "cuda", "libtorch", "group"];

/// What reads libtorch's headers, for any processor.
const WITH_LIBTORCH: [&str; 21] = [
    "libtorch/calls",
    "layers/layers",
    "layers/convolution",
    "layers/stem",
    "layers/batch_norm",
    "layers/batch_norm_processor",
    "layers/batch_norm_cuda",
    "layers/batch_norm_group",
    "layers/norm_convolution",
    "layers/sample",
    "layers/max_pool",
    "layers/roi_align",
    "layers/clusters",
    "layers/contrast",
    "layers/cross_entropy",
    "processor/processor",
    "cuda/cuda",
    "cuda/cuda_module",
    "group/group",
    "group/buckets",
    "group/nccl",
];

/// The kernels of `src/processor`, which read none and are compiled once for each instruction set.
const OF_PROCESSOR: [&str; 6] = ["winograd", "batch_norm", "sample", "max_pool", "roi_align", "clusters"];

/// The kernels of `src/cuda`, in the order in which they are compiled as one text: what kernels share is first.
const OF_CUDA: [&str; 10] = [
    "vector",
    "sweep",
    "moments",
    "batch_norm",
    "max_pool",
    "roi_align",
    "sample",
    "stem",
    "contrast",
    "cross_entropy",
];

fn main() {
    watch();
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = PathBuf::from(std::env::var("LIBTORCH").expect("LIBTORCH is set by .cargo/config.toml"));
    println!("cargo:rerun-if-changed={}", libtorch.join("torch").display());
    let library = libtorch.join("lib/libtorch_cpu.so").canonicalize().unwrap_or_else(|error| {
        panic!("no libtorch at {}: {error}; run `make libtorch` first", libtorch.display())
    });
    let directory = library.parent().expect("a file has a folder").display();
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let write = |name, text: String| std::fs::write(out.join(name), text).expect("OUT_DIR can be written");
    // One literal for each file: compilers limit their length.
    let literals: String = cuda_source().iter().map(|text| format!("R\"CUDA({text})CUDA\"\n")).collect();
    write("cuda_source.h", format!("constexpr const char CUDA_SOURCE[] = {literals};"));
    // For the test that compiles them.
    write("kernels.cu", cuda_source().concat());
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&out)
        .include("src/group")
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"));
    let headers = precompile(&build, &out);
    build
        .flag("-include")
        .flag(out.join("libtorch.h"))
        .files(WITH_LIBTORCH.map(|file| format!("src/{file}.cpp")))
        .compile("torch_ext");
    // Hundreds of megabytes that nothing reads again.
    let _ = std::fs::remove_file(headers);
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64") {
        for (instructions, architecture) in [("avx2", "-march=x86-64-v3"), ("avx512", "-march=x86-64-v4")] {
            for file in OF_PROCESSOR {
                kernels(file, instructions, architecture);
            }
        }
        // libtorch's own OpenMP, so that there is one pool of threads.
        let folder = library.parent().expect("a file has a folder");
        println!("cargo:rustc-link-search=native={}", folder.display());
        println!("cargo:rustc-link-lib=dylib:+verbatim={}", openmp(folder));
    }
    println!("cargo:rustc-link-search=native={}", libtorch.join("lib").display());
    // Dependents read this as DEP_TORCH_EXT_LIBRARY_DIRECTORY and put it on the rpath of what they link.
    println!("cargo:library_directory={directory}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
}

/// Compiles libtorch's headers once, beside `libtorch.h` in `out`, where the compiler finds them by itself: reading them
/// takes twelve seconds a file otherwise. Without the compiled ones the text is read.
fn precompile(build: &cc::Build, out: &Path) -> PathBuf {
    let header = out.join("libtorch.h");
    std::fs::copy("src/libtorch/libtorch.h", &header).expect("OUT_DIR can be written");
    let compiled = out.join("libtorch.h.gch");
    let mut compiler = build.get_compiler().to_command();
    let _ = compiler.args(["-x", "c++-header"]).arg(&header).arg("-o").arg(&compiled).status();
    compiled
}

/// Has cargo run this again when what it compiles has changed.
fn watch() {
    println!("cargo:rerun-if-changed=src/border.h");
    for folder in FOLDERS {
        println!("cargo:rerun-if-changed=src/{folder}");
    }
}

/// The kernels for CUDA devices, file by file; they are compiled at run time, for the device that is there.
fn cuda_source() -> Vec<String> {
    let text = |file| std::fs::read_to_string(format!("src/cuda/{file}.cu"));
    OF_CUDA
        .map(|file| format!("#line 1 \"{file}.cu\"\n{}", text(file).expect("it is part of this crate")))
        .into()
}

/// Compiles the kernels of a file of `src/processor` once more, for an instruction set that is chosen at run time.
fn kernels(file: &str, instructions: &str, architecture: &str) {
    let name = format!("{file}_{instructions}");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).flag("-fopenmp").flag(architecture);
    // A file defines one table of kernels, or one for each kind of number.
    for kind in ["", "_float", "_bfloat16"] {
        let definition = format!("{}_KERNELS{}", file.to_uppercase(), kind.to_uppercase());
        build.define(&definition, format!("{name}{kind}").as_str());
    }
    if file == "clusters" {
        // Products and sums in one instruction: which centroid is the nearest does not depend on the last bit.
        build.flag("-ffp-contract=fast");
    }
    build.file(format!("src/processor/{file}.cpp")).compile(&name);
}

/// The name of the OpenMP library that lies beside libtorch; some builds carry it under a longer name.
fn openmp(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("libgomp")).unwrap_or_else(|| "libgomp.so.1".to_owned())
}
