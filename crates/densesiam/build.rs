//! Lets the programs and tests of this crate find libtorch where it was at build time, without LD_LIBRARY_PATH.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(directory) = std::env::var("DEP_TORCH_EXT_LIBRARY_DIRECTORY") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
    }
}
