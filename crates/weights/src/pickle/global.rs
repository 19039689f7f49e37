//! The Python names that have a meaning in a weights file. All other names stand for empty objects, except a few that
//! no honest file has.

use crate::DType;

/// The meaning of a name on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    /// A class whose value is its items: `OrderedDict`, `defaultdict`, `set`, `list` and similar.
    Collection,
    /// `argparse.Namespace`: the arguments of a training script, kept beside its weights.
    Namespace,
    /// `bytes`, which old protocols call to make an empty value.
    Bytes,
    /// `_codecs.encode`, with which old protocols write bytes as a Latin-1 text.
    CodecsEncode,
    /// A type that stands for itself and is never called: `int` in `defaultdict(int)`, `long` to old protocols.
    PlainType,
    /// `torch.FloatStorage` and similar: the type of a storage's elements.
    Storage(DType),
    /// `torch.float32` and similar.
    TorchDType,
    /// `torch.device`.
    Device,
    /// `torch.Size`, a tuple.
    Size,
    /// A tensor as a view of a storage: `torch._utils._rebuild_tensor` and `_v2`.
    RebuildTensor,
    /// A parameter around a tensor.
    RebuildParameter,
    /// `_reconstruct`, an empty NumPy array whose state follows.
    NumpyReconstruct,
    /// `_frombuffer`, a NumPy array made from bytes.
    NumpyFromBuffer,
    /// A NumPy scalar.
    NumpyScalar,
    /// `numpy.ndarray`.
    NumpyArray,
    /// `numpy.dtype`.
    NumpyDType,
}

impl Global {
    /// The entry for this name, if it is on the list.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        match module {
            "builtins" | "__builtin__" => builtin(name),
            "collections" => matches!(name, "OrderedDict" | "defaultdict").then_some(Self::Collection),
            "argparse" => (name == "Namespace").then_some(Self::Namespace),
            "_codecs" => (name == "encode").then_some(Self::CodecsEncode),
            "torch" => torch(name),
            "torch.cuda" => storage(name),
            "torch.storage" => (name == "UntypedStorage").then_some(Self::Storage(DType::U8)),
            "torch._utils" => match name {
                "_rebuild_tensor" | "_rebuild_tensor_v2" => Some(Self::RebuildTensor),
                "_rebuild_parameter" | "_rebuild_parameter_with_state" => Some(Self::RebuildParameter),
                _ => None,
            },
            "numpy" => match name {
                "ndarray" => Some(Self::NumpyArray),
                "dtype" => Some(Self::NumpyDType),
                _ => None,
            },
            "numpy.core.multiarray" | "numpy._core.multiarray" => match name {
                "_reconstruct" => Some(Self::NumpyReconstruct),
                "scalar" => Some(Self::NumpyScalar),
                _ => None,
            },
            "numpy.core.numeric" | "numpy._core.numeric" => {
                (name == "_frombuffer").then_some(Self::NumpyFromBuffer)
            }
            _ => None,
        }
    }

    /// Whether a file may call it; the others may only be mentioned.
    pub(super) fn is_callable(self) -> bool {
        !matches!(self, Self::PlainType | Self::Storage(_) | Self::TorchDType | Self::NumpyArray)
    }
}

/// Whether a file that refers to this name was made to start programs or run code in Python. In either case nothing in
/// it is run here, so this check is not a protection and does not need to be complete. But such a file is a trap for
/// programs that would run it, which its owner should learn, and its weights come from an attacker.
pub(super) fn is_a_trap(module: &str, name: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => {
            matches!(name, "eval" | "exec" | "execfile" | "compile" | "open" | "__import__")
        }
        "os" | "posix" | "nt" | "subprocess" | "commands" | "pty" | "runpy" | "importlib" | "ctypes" => true,
        _ => false,
    }
}

fn builtin(name: &str) -> Option<Global> {
    match name {
        "set" | "frozenset" | "list" | "dict" | "tuple" => Some(Global::Collection),
        "bytes" => Some(Global::Bytes),
        "int" | "long" | "float" | "bool" | "str" | "unicode" => Some(Global::PlainType),
        _ => None,
    }
}

fn torch(name: &str) -> Option<Global> {
    match name {
        "Size" => Some(Global::Size),
        "device" => Some(Global::Device),
        "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "int16" | "int8" | "uint8"
        | "bool" => Some(Global::TorchDType),
        _ => storage(name),
    }
}

fn storage(name: &str) -> Option<Global> {
    let dtype = match name {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" | "UntypedStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    };
    Some(Global::Storage(dtype))
}
