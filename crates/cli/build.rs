//! Lets the programs and tests of this crate find libtorch where it was at build time, without LD_LIBRARY_PATH, and the
//! program start in a folder that was deleted.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/working_folder.c");
    if let Ok(directory) = std::env::var("DEP_TORCH_EXT_LIBRARY_DIRECTORY") {
        // First where `make install` lays it, then where it is now.
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/densesiam/torch/lib:{directory}");
    }
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        for object in cc::Build::new().file("src/working_folder.c").compile_intermediates() {
            println!("cargo:rustc-link-arg-bins={}", object.display());
        }
    }
}
