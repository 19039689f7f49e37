//! The instructions of pickles, under the names of Python's pickletools.

/// One table for both: the constants that the machine matches, and the names that an error message uses.
macro_rules! opcodes {
    ($($name:ident = $number:literal $(($used:ident))?),* $(,)?) => {
        $($(#[doc = stringify!($used)] pub(super) const $name: u8 = $number;)?)*

        /// The name of an instruction, or a text that says that it has no name.
        pub(super) fn name(number: u8) -> &'static str {
            match number {
                $($number => stringify!($name),)*
                _ => "without a name",
            }
        }
    };
}

opcodes! {
    MARK = b'(' (used), STOP = b'.' (used), POP = b'0' (used), POP_MARK = b'1' (used), DUP = b'2' (used),
    FLOAT = b'F', INT = b'I' (used), BININT = b'J' (used), BININT1 = b'K' (used), LONG = b'L',
    BININT2 = b'M' (used), NONE = b'N' (used), PERSID = b'P', BINPERSID = b'Q' (used), REDUCE = b'R' (used),
    STRING = b'S', BINSTRING = b'T' (used), SHORT_BINSTRING = b'U' (used), UNICODE = b'V',
    BINUNICODE = b'X' (used), APPEND = b'a' (used), BUILD = b'b' (used), GLOBAL = b'c' (used),
    DICT = b'd' (used), APPENDS = b'e' (used), GET = b'g', BINGET = b'h' (used), INST = b'i',
    LONG_BINGET = b'j' (used), LIST = b'l' (used), OBJ = b'o', PUT = b'p', BINPUT = b'q' (used),
    LONG_BINPUT = b'r' (used), SETITEM = b's' (used), TUPLE = b't' (used), SETITEMS = b'u' (used),
    EMPTY_TUPLE = b')' (used), EMPTY_LIST = b']' (used), EMPTY_DICT = b'}' (used), BINFLOAT = b'G' (used),
    BINBYTES = b'B' (used), SHORT_BINBYTES = b'C' (used),
    PROTO = 0x80 (used), NEWOBJ = 0x81 (used), EXT1 = 0x82, EXT2 = 0x83, EXT4 = 0x84, TUPLE1 = 0x85 (used),
    TUPLE2 = 0x86 (used), TUPLE3 = 0x87 (used), NEWTRUE = 0x88 (used), NEWFALSE = 0x89 (used),
    LONG1 = 0x8a (used), LONG4 = 0x8b (used), SHORT_BINUNICODE = 0x8c (used), BINUNICODE8 = 0x8d (used),
    BINBYTES8 = 0x8e (used), EMPTY_SET = 0x8f (used), ADDITEMS = 0x90 (used), FROZENSET = 0x91 (used),
    NEWOBJ_EX = 0x92 (used), STACK_GLOBAL = 0x93 (used), MEMOIZE = 0x94 (used), FRAME = 0x95 (used),
    BYTEARRAY8 = 0x96 (used), NEXT_BUFFER = 0x97, READONLY_BUFFER = 0x98,
}
