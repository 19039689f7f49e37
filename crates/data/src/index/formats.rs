//! Which files are pictures, judged by their names: in formats that are read, and in formats that are not.

/// Extensions of the files that count as pictures, compared without regard to case. For each format, the extension that
/// every other program knows (`common`) comes first.
pub const EXTENSIONS: [&str; 18] = [
    "jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "jfif", "jpe", "jif", "jfi", "pjpeg", "pjp",
    "mpo", "apng", "dib", "btf",
];

/// Extensions of pictures in formats that are not read. Such files of a data set are counted, instead of being left out
/// silently.
const NOT_READ: [&str; 82] = [
    // Phones and browsers.
    "heic", "heif", "heics", "heifs", "hif", "avif", "avifs", "jxl", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx",
    "jpm", "jxr", "wdp", "hdp", "svg", "svgz", // What cameras write before it is developed.
    "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2", "raf", "pef", "srw", "raw",
    "rwl", "3fr", "fff", "iiq", "x3f", "kdc", "dcr", "mrw", "erf", "mef", "mos", "gpr",
    // Programs that draw and render.
    "psd", "psb", "xcf", "kra", "ora", "ai", "eps", "exr", "hdr", "pfm", "tga", "icb", "vda", "vst", "dds",
    "qoi", "ico", "cur", "icns", "pcx", "xbm", "xpm", "sgi", "ras", "wmf", "emf", // Science.
    "ppm", "pgm", "pbm", "pnm", "pam", "dcm", "dicom", "fits", "czi",
];

/// The extension, as [`EXTENSIONS`] has it, of a picture that is read.
pub(crate) fn read(extension: &[u8]) -> Option<&'static str> {
    of(&EXTENSIONS, extension)
}

/// The extension in lower case of a picture in a format that is not read.
pub(super) fn not_read(extension: &[u8]) -> Option<&'static str> {
    of(&NOT_READ, extension)
}

/// The extension under which every program knows a file that is called by one of [`EXTENSIONS`].
pub(crate) fn common(extension: &'static str) -> &'static str {
    match extension {
        "jfif" | "jpe" | "jif" | "jfi" | "pjpeg" | "pjp" | "mpo" => "jpg",
        "apng" => "png",
        "dib" => "bmp",
        "btf" => "tif",
        common => common,
    }
}

fn of(known: &[&'static str], extension: &[u8]) -> Option<&'static str> {
    known.iter().copied().find(|known| extension.eq_ignore_ascii_case(known.as_bytes()))
}
