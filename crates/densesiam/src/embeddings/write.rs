//! Writes embeddings while they are computed, so that only names, and means where patches are written, are held in memory.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use densesiam_text::shown;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;
use tch::{Kind, Tensor};

use super::{About, LONGEST_HEADER};
use crate::error::Error;
use crate::file::write_whole;
use crate::tasks::embed::Embedded;

/// The format of a file of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Named tensors, with what they are of in the header.
    Safetensors,
    /// One NumPy array, and a table beside it that says what each row is of.
    Npy,
    /// A table of text.
    Csv,
}

impl Format {
    /// The format of a file of this name.
    ///
    /// # Errors
    /// [`Error::Usage`] if the name ends in none of them.
    pub fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            Some("csv") => Ok(Self::Csv),
            _ => Err(Error::Usage(format!(
                "{} ends in none of .safetensors, .npy and .csv, which say how embeddings are written",
                shown(path)
            ))),
        }
    }

    /// The files that are written for one of this name.
    pub fn files(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::Npy => vec![path.to_owned(), row_table_of(path)],
            Self::Safetensors | Self::Csv => vec![path.to_owned()],
        }
    }
}

/// What a row of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// The mean of a picture's map over its cells, float32.
    Pictures,
    /// A cell of a picture's map, rounded to float16 but in tables of text; picture by picture, row by row.
    Patches,
}

/// Embeddings that are being written. They are in a file without a name until [`Writer::finish`].
pub struct Writer {
    path: PathBuf,
    format: Format,
    rows: Rows,
    /// The rows so far; for a table of text, its lines.
    written: BufWriter<File>,
    names: Vec<PathBuf>,
    samples: Vec<i64>,
    seen: Vec<i64>,
    cells: Vec<i64>,
    /// The mean of each picture, where rows are patches.
    means: Vec<f32>,
    channels: i64,
}

impl Writer {
    /// Begins a file at `path`.
    ///
    /// # Errors
    /// When there is no such format, or nothing can be written there.
    pub fn new(path: &Path, rows: Rows) -> Result<Self, Error> {
        let format = Format::of(path)?;
        if path.is_dir() {
            return Err(Error::Usage(format!("{} is a folder", shown(path))));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        let file = tempfile::tempfile_in(folder).map_err(|source| Error::file(folder, source))?;
        Ok(Self {
            path: path.to_owned(),
            format,
            rows,
            written: BufWriter::new(file),
            names: Vec::new(),
            samples: Vec::new(),
            seen: Vec::new(),
            cells: Vec::new(),
            means: Vec::new(),
            channels: 0,
        })
    }

    /// Appends pictures, whose names are given.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn push(&mut self, embedded: &Embedded, names: Vec<PathBuf>) -> Result<(), Error> {
        let path = self.path.clone();
        let unwritten = |source: io::Error| Error::file(&path, source);
        let (batch, channels, height, width) = embedded.maps.size4().map_err(internal)?;
        if self.channels == 0 && self.format == Format::Csv {
            self.head(channels).map_err(unwritten)?;
        }
        self.channels = channels;
        let means = embedded.maps.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        match self.rows {
            Rows::Pictures => self.append(&means, &names, [1, 1]).map_err(unwritten)?,
            Rows::Patches => {
                let patches = embedded.maps.permute([0, 2, 3, 1]).reshape([-1, channels]);
                self.append(&patches, &names, [height, width]).map_err(unwritten)?;
                self.means.extend(floats(&means).map_err(internal)?);
            }
        }
        for &sample in &embedded.samples {
            self.samples.push(sample as i64);
            self.seen.extend(embedded.seen.map(i64::from));
            self.cells.extend([height, width]);
        }
        debug_assert_eq!(batch as usize, names.len());
        self.names.extend(names);
        Ok(())
    }

    /// The first line of a table of text.
    fn head(&mut self, channels: i64) -> io::Result<()> {
        let mut line = match self.rows {
            Rows::Pictures => "picture".to_owned(),
            Rows::Patches => "picture,row,column".to_owned(),
        };
        (0..channels).for_each(|channel| line.push_str(&format!(",f{channel}")));
        writeln!(self.written, "{line}")
    }

    /// Appends rows `[R, C]`, `height * width` of them for each name.
    fn append(&mut self, rows: &Tensor, names: &[PathBuf], [height, width]: [i64; 2]) -> io::Result<()> {
        if self.format != Format::Csv {
            // The largest float16 stands for what is larger.
            let kept = match self.rows {
                Rows::Pictures => rows.contiguous(),
                Rows::Patches => rows.clamp(-65_504.0, 65_504.0).to_kind(Kind::Half).contiguous(),
            };
            let mut bytes = vec![0; kept.numel() * kept.kind().elt_size_in_bytes()];
            kept.f_copy_data_u8(&mut bytes, kept.numel()).map_err(io::Error::other)?;
            return self.written.write_all(&bytes);
        }
        let (columns, per_picture) = (rows.size()[1] as usize, (height * width) as usize);
        let values = floats(rows).map_err(io::Error::other)?;
        let mut table = csv::Writer::from_writer(&mut self.written);
        for (place, row) in values.chunks_exact(columns).enumerate() {
            table.write_field(names[place / per_picture].to_string_lossy().as_bytes())?;
            if self.rows == Rows::Patches {
                let cell = place % per_picture;
                table.write_field((cell / width as usize).to_string())?;
                table.write_field((cell % width as usize).to_string())?;
            }
            row.iter().try_for_each(|value| table.write_field(value.to_string()))?;
            table.write_record(None::<&[u8]>)?;
        }
        table.flush()
    }

    /// Writes the whole file. Returns how many rows it has.
    ///
    /// # Errors
    /// When the system refuses; an earlier file of this name is then as it was, without the table beside an array.
    pub fn finish(mut self, about: &About) -> Result<usize, Error> {
        let path = &self.path.clone();
        let system = |source: io::Error| Error::file(path, source);
        let rows = self.count();
        self.written.flush().map_err(system)?;
        let parts = self.parts(about).map_err(system)?;
        let mut written = self.written.into_inner().map_err(|error| system(error.into_error()))?;
        written.rewind().map_err(system)?;
        let table = row_table_of(path);
        if self.format == Format::Npy && table.exists() {
            // Beside an array that cannot be written after all, the table of another one would say what its rows are.
            fs::remove_file(&table).map_err(|source| Error::file(&table, source))?;
        }
        write_whole(path, |out| {
            out.write_all(&parts.head).map_err(system)?;
            io::copy(&mut written, out).map_err(system)?;
            out.write_all(&parts.tail).map_err(system)
        })?;
        if self.format == Format::Npy {
            write_whole(&table, |out| {
                row_table(out, self.rows, &self.names, &self.cells)
                    .map_err(|source| Error::file(&table, source))
            })?;
        }
        Ok(rows)
    }

    fn count(&self) -> usize {
        match self.rows {
            Rows::Pictures => self.names.len(),
            Rows::Patches => self.cells.chunks_exact(2).map(|cells| (cells[0] * cells[1]) as usize).sum(),
        }
    }

    /// What stands before the rows and after them.
    fn parts(&self, about: &About) -> io::Result<Parts> {
        let shape = [self.count(), self.channels as usize];
        Ok(match self.format {
            Format::Csv => Parts::default(),
            Format::Npy => Parts { head: npy_head(self.rows, shape), tail: Vec::new() },
            Format::Safetensors => self.safetensors(about, shape)?,
        })
    }

    fn safetensors(&self, about: &About, [rows, channels]: [usize; 2]) -> io::Result<Parts> {
        let pictures = self.names.len();
        let (mut tensors, mut end) = (Vec::new(), 0);
        let mut add = |name: &str, dtype: Dtype, shape: Vec<usize>| {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            tensors.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
        };
        let mut tail = Vec::new();
        match self.rows {
            Rows::Pictures => add("features", Dtype::F32, vec![rows, channels]),
            Rows::Patches => {
                add("patches", Dtype::F16, vec![rows, channels]);
                add("features", Dtype::F32, vec![pictures, channels]);
                tail.extend(self.means.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
        add("samples", Dtype::I64, vec![pictures]);
        add("seen", Dtype::I64, vec![pictures, 2]);
        add("cells", Dtype::I64, vec![pictures, 2]);
        tail.extend(self.samples.iter().flat_map(|value| value.to_le_bytes()));
        tail.extend(self.seen.iter().chain(&self.cells).flat_map(|value| value.to_le_bytes()));
        let text = |value: serde_json::Value| value.to_string();
        let said = HashMap::from([
            ("format".to_owned(), "pt".to_owned()),
            ("about".to_owned(), text(json!(about))),
            ("pictures".to_owned(), text(json!(texts(&self.names)))),
        ]);
        let metadata = Metadata::new(Some(said), tensors).map_err(io::Error::other)?;
        let mut header = serde_json::to_vec(&metadata)?;
        if header.len() as u64 > LONGEST_HEADER {
            return Err(io::Error::other(format!(
                "the names of {pictures} pictures are too long for the header of a safetensors file; write .npy"
            )));
        }
        header.resize(header.len().next_multiple_of(8), b' ');
        let head = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
        Ok(Parts { head, tail })
    }
}

#[derive(Default)]
struct Parts {
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// The head of a NumPy array of format 1.0 (NEP 1): magic, version, length, and a Python dictionary padded to 64 bytes.
fn npy_head(rows: Rows, [count, channels]: [usize; 2]) -> Vec<u8> {
    let kind = match rows {
        Rows::Pictures => "<f4",
        Rows::Patches => "<f2",
    };
    let mut dictionary =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({count}, {channels}), }}");
    let before = 10;
    let whole = (before + dictionary.len() + 1).next_multiple_of(64);
    dictionary.push_str(&" ".repeat(whole - before - dictionary.len() - 1));
    dictionary.push('\n');
    let length = (dictionary.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, dictionary.as_bytes()].concat()
}

/// The names of pictures as text: bytes that are no text are replaced.
fn texts(names: &[PathBuf]) -> Vec<String> {
    names.iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The table beside an array.
fn row_table_of(path: &Path) -> PathBuf {
    path.with_extension("rows.csv")
}

/// What each row of an array is of.
fn row_table(out: &mut impl Write, rows: Rows, names: &[PathBuf], cells: &[i64]) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    match rows {
        Rows::Pictures => {
            table.write_record(["picture"])?;
            for name in texts(names) {
                table.write_record([name])?;
            }
        }
        Rows::Patches => {
            table.write_record(["picture", "row", "column"])?;
            for (name, cells) in texts(names).iter().zip(cells.chunks_exact(2)) {
                for (row, column) in
                    (0..cells[0]).flat_map(|row| (0..cells[1]).map(move |column| (row, column)))
                {
                    table.write_record([name.as_str(), &row.to_string(), &column.to_string()])?;
                }
            }
        }
    }
    table.flush()
}

fn floats(rows: &Tensor) -> Result<Vec<f32>, tch::TchError> {
    Vec::<f32>::try_from(rows.contiguous().view([-1]))
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}
