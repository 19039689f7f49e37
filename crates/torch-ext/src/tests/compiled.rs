//! The kernels for CUDA, compiled by NVIDIA's compiler for every kind of card that it knows. No card is needed. The
//! variable `DENSESIAM_NVRTC` names the folder of the compiler's libraries (`make test` fetches them); without it
//! nothing is compiled.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

use super::place::emulator_most_threads;

const SOURCE: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.cu"));

/// The registers of a block on every card since Maxwell.
const REGISTERS_OF_A_BLOCK: u32 = 65_536;
/// The shared memory that a kernel may have without asking for more.
const SHARED_BYTES_OF_A_BLOCK: u32 = 49_152;

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// NVRTC, as far as it is used here.
#[derive(Clone, Copy)]
struct Compiler {
    count: unsafe extern "C" fn(*mut c_int) -> c_int,
    architectures: unsafe extern "C" fn(*mut c_int) -> c_int,
    create: unsafe extern "C" fn(
        *mut *mut c_void,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    compile: unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> c_int,
    log_size: unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int,
    log: unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut *mut c_void) -> c_int,
}

impl Compiler {
    fn open(folder: &Path) -> Self {
        // The compiler searches for the second library only by its name, and finds it if it is already open.
        open(&library(folder, "libnvrtc-builtins.so"));
        let library = open(&library(folder, "libnvrtc.so"));
        // SAFETY: NVRTC declares its functions so, in every version.
        unsafe {
            Self {
                count: function(library, c"nvrtcGetNumSupportedArchs"),
                architectures: function(library, c"nvrtcGetSupportedArchs"),
                create: function(library, c"nvrtcCreateProgram"),
                compile: function(library, c"nvrtcCompileProgram"),
                log_size: function(library, c"nvrtcGetProgramLogSize"),
                log: function(library, c"nvrtcGetProgramLog"),
                destroy: function(library, c"nvrtcDestroyProgram"),
            }
        }
    }

    /// The architectures that it knows, such as 90.
    fn architectures(&self) -> Vec<c_int> {
        let mut count = 0;
        // SAFETY: room for one number.
        assert_eq!(unsafe { (self.count)(&mut count) }, 0);
        let mut all = vec![0; count as usize];
        // SAFETY: room for as many as it said.
        assert_eq!(unsafe { (self.architectures)(all.as_mut_ptr()) }, 0);
        all
    }

    /// Compiles the kernels to machine code; returns the compiler's messages, which include the needs of each kernel.
    fn compile(&self, architecture: c_int, bfloat16: u8) -> String {
        let options = [
            format!("--gpu-architecture=sm_{architecture}"),
            format!("--define-macro=VALUE_IS_BFLOAT16={bfloat16}"),
            "--std=c++17".into(),
            "--ptxas-options=-v".into(),
        ]
        .map(|option| CString::new(option).unwrap());
        let options = options.each_ref().map(|option| option.as_ptr());
        let source = CString::new(SOURCE).unwrap();
        let (mut program, mut size) = (null_mut(), 0);
        // SAFETY: strings that end with 0 and outlive the calls, and room for what is returned.
        unsafe {
            assert_eq!(
                (self.create)(&mut program, source.as_ptr(), c"kernels.cu".as_ptr(), 0, null(), null()),
                0
            );
            let status = (self.compile)(program, options.len() as c_int, options.as_ptr());
            assert_eq!((self.log_size)(program, &mut size), 0);
            let mut log = vec![0u8; size + 1];
            assert_eq!((self.log)(program, log.as_mut_ptr().cast()), 0);
            (self.destroy)(&mut program);
            let log = CStr::from_bytes_until_nul(&log).unwrap().to_string_lossy().into_owned();
            assert_eq!(status, 0, "sm_{architecture}: {log}");
            log
        }
    }
}

/// The function of this name.
///
/// # Safety
/// `F` is the type of a pointer to it.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: an open library and a string that ends with 0.
    let found = unsafe { dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?}");
    assert_eq!(size_of::<F>(), size_of_val(&found));
    // SAFETY: of the same size, and of this type as the caller says.
    unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) }
}

fn open(file: &Path) -> *mut c_void {
    const NOW_FOR_ALL: c_int = 0x102;
    let name = CString::new(file.to_str().unwrap()).unwrap();
    // SAFETY: a string that ends with 0.
    let library = unsafe { dlopen(name.as_ptr(), NOW_FOR_ALL) };
    assert!(!library.is_null(), "{} cannot be loaded", file.display());
    library
}

fn library(folder: &Path, prefix: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    files.into_iter().find(is_it).unwrap_or_else(|| panic!("no {prefix} in {}", folder.display()))
}

/// Registers of a thread and shared bytes of a block, by kernel.
fn needs(log: &str) -> BTreeMap<String, [u32; 2]> {
    let mut needs = BTreeMap::new();
    let mut kernel = String::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernel = rest.split('\'').next().unwrap().to_owned();
        } else if line.contains("Used ") {
            let number = |unit: &str| {
                let (before, _) = line.split_once(unit)?;
                before.rsplit(' ').next()?.parse().ok()
            };
            let registers = number(" registers").unwrap_or_else(|| panic!("{line}"));
            needs.insert(kernel.clone(), [registers, number(" bytes smem").unwrap_or(0)]);
        }
    }
    needs
}

#[test]
fn every_card_that_the_compiler_knows_can_start_every_kernel() {
    let Some(folder) = std::env::var_os("DENSESIAM_NVRTC") else {
        println!("DENSESIAM_NVRTC is not set: the kernels for CUDA are not compiled");
        return;
    };
    let compiler = Compiler::open(Path::new(&folder));
    let architectures = compiler.architectures();
    let work = Mutex::new(architectures.iter().flat_map(|&of| [(of, 0), (of, 1)]));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                loop {
                    let Some((architecture, bfloat16)) = work.lock().unwrap().next() else { break };
                    check(architecture, &needs(&compiler.compile(architecture, bfloat16)));
                }
            });
        }
    });
    println!("compiled for {architectures:?}");
}

fn check(architecture: c_int, needs: &BTreeMap<String, [u32; 2]>) {
    assert_eq!(needs.len(), SOURCE.matches("\nKERNEL(").count(), "{needs:?}");
    for (kernel, &[registers, shared_bytes]) in needs {
        let name = CString::new(kernel.as_str()).unwrap();
        // SAFETY: a string that ends with 0.
        let threads = unsafe { emulator_most_threads(name.as_ptr()) };
        assert!(threads > 0, "{kernel} is not in the emulator");
        // Registers are allocated in groups of eight.
        let of_block = registers.next_multiple_of(8) * threads;
        assert!(
            of_block <= REGISTERS_OF_A_BLOCK && shared_bytes <= SHARED_BYTES_OF_A_BLOCK,
            "{kernel} on sm_{architecture}: {registers} registers for {threads} threads, {shared_bytes} bytes"
        );
    }
}
