//! Compiles the C++ side against the libtorch that tch is built with, and tells dependents where it lies.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/torch_ext.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = PathBuf::from(std::env::var("LIBTORCH").expect("LIBTORCH is set by .cargo/config.toml"));
    println!("cargo:rerun-if-changed={}", libtorch.join("torch").display());
    let library = libtorch.join("lib/libtorch_cpu.so").canonicalize().unwrap_or_else(|error| {
        panic!("no libtorch at {}: {error}; run `make libtorch` first", libtorch.display())
    });
    let directory = library.parent().expect("a file has a folder").display();
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .file("src/torch_ext.cpp")
        .compile("torch_ext");
    println!("cargo:rustc-link-search=native={}", libtorch.join("lib").display());
    // Dependents read this as DEP_TORCH_EXT_LIBRARY_DIRECTORY and put it on the rpath of what they link.
    println!("cargo:library_directory={directory}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
}
