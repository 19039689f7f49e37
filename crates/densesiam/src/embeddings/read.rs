//! Reads the embeddings of patches into memory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use densesiam_text::shown;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use tch::{Device, Kind, Tensor};

use super::{About, LONGEST_HEADER};
use crate::error::Error;

/// Bytes that are read at once.
const AT_ONCE: usize = 1 << 24;

/// Embeddings of patches and pictures.
#[derive(Debug)]
pub struct Embeddings {
    /// What they are of.
    pub about: About,
    /// The pictures, by their places in the index.
    pub samples: Vec<i64>,
    /// Width and height at which the encoder saw each picture.
    pub seen: Vec<[u32; 2]>,
    /// Rows and columns of each picture's map.
    pub cells: Vec<[usize; 2]>,
    /// The mean of each picture's map, `[N, C]`, float32.
    pub features: Tensor,
    /// The cells of all pictures, picture by picture and row by row, `[P, C]`, float16.
    pub patches: Tensor,
}

impl Embeddings {
    /// Reads a whole file.
    ///
    /// # Errors
    /// When it cannot be read, or is no file of patches that `densesiam embed` wrote.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let foreign =
            || Error::Usage(format!("{} is no file of patches that `densesiam embed` wrote", shown(path)));
        let mut contents = Contents::open(path)?.ok_or_else(foreign)?;
        let about = contents.about().ok_or_else(foreign)?;
        // In the order of the file.
        let mut tensor = |name: &str, dtype, kind| contents.tensor(path, name, (dtype, kind));
        let patches = tensor("patches", Dtype::F16, Kind::Half)?.ok_or_else(foreign)?;
        let features = tensor("features", Dtype::F32, Kind::Float)?.ok_or_else(foreign)?;
        let samples = tensor("samples", Dtype::I64, Kind::Int64)?.ok_or_else(foreign)?;
        let seen = tensor("seen", Dtype::I64, Kind::Int64)?.ok_or_else(foreign)?;
        let cells = tensor("cells", Dtype::I64, Kind::Int64)?.ok_or_else(foreign)?;
        let (Ok([count, channels]), Ok([all, same])) = (two_sides(&features), two_sides(&patches)) else {
            return Err(foreign());
        };
        let samples = Vec::<i64>::try_from(samples).map_err(|_| foreign())?;
        let [seen, cells] = [seen, cells].map(|tensor| Vec::<i64>::try_from(tensor.view([-1])));
        let (seen, cells) = (seen.map_err(|_| foreign())?, cells.map_err(|_| foreign())?);
        let sides = seen.iter().chain(&cells).all(|side| (1..=i64::from(u16::MAX)).contains(side));
        let numbers = samples.iter().all(|&sample| sample >= 0);
        if !sides || !numbers || seen.len() != cells.len() || cells.len() != 2 * samples.len() {
            return Err(foreign());
        }
        let seen: Vec<_> = seen.chunks_exact(2).map(|of| [of[0] as u32, of[1] as u32]).collect();
        let cells: Vec<_> = cells.chunks_exact(2).map(|of| [of[0] as usize, of[1] as usize]).collect();
        let rows: usize = cells.iter().map(|[rows, columns]| rows * columns).sum();
        if [count, all] != [samples.len(), rows] || channels != same || channels < 3 {
            return Err(foreign());
        }
        Ok(Self { about, samples, seen, cells, features, patches })
    }
}

/// A safetensors file whose header was read.
struct Contents {
    file: BufReader<File>,
    metadata: Metadata,
    /// Where in the data the file is.
    at: usize,
    /// Bytes of the data.
    length: u64,
}

impl Contents {
    /// `None` if it is no safetensors file.
    fn open(path: &Path) -> Result<Option<Self>, Error> {
        let system = |source| Error::file(path, source);
        let file = File::open(path).map_err(system)?;
        let whole = file.metadata().map_err(system)?.len();
        let mut file = BufReader::new(file);
        let mut length = [0; 8];
        if whole < 8 {
            return Ok(None);
        }
        file.read_exact(&mut length).map_err(system)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER.min(whole - 8) {
            return Ok(None);
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(system)?;
        let metadata = serde_json::from_slice(&header).ok();
        Ok(metadata.map(|metadata| Self { file, metadata, at: 0, length: whole - 8 - length }))
    }

    fn about(&self) -> Option<About> {
        serde_json::from_str(self.metadata.metadata().as_ref()?.get("about")?).ok()
    }

    /// A tensor, which must begin where the tensor before it ended; `None` if there is none of this name and kind there.
    fn tensor(
        &mut self,
        path: &Path,
        name: &str,
        (dtype, kind): (Dtype, Kind),
    ) -> Result<Option<Tensor>, Error> {
        let system = |source| Error::file(path, source);
        let Some(&TensorInfo { dtype: found, ref shape, data_offsets: (start, end) }) =
            self.metadata.info(name)
        else {
            return Ok(None);
        };
        let elements = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let bytes = elements.and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
        let follows = start == self.at && bytes == end.checked_sub(start) && end as u64 <= self.length;
        if found != dtype || !follows {
            return Ok(None);
        }
        let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
        let tensor = Tensor::empty(&shape, (kind, Device::Cpu));
        let flat = tensor.view([-1]);
        let mut buffer = vec![0; AT_ONCE.min(end - start)];
        while self.at < end {
            let part = buffer.len().min(end - self.at);
            self.file.read_exact(&mut buffer[..part]).map_err(system)?;
            let [first, count] =
                [self.at - start, part].map(|bytes| (bytes / kind.elt_size_in_bytes()) as i64);
            flat.narrow(0, first, count).copy_(&Tensor::from_data_size(&buffer[..part], &[count], kind));
            self.at += part;
        }
        Ok(Some(tensor))
    }
}

fn two_sides(tensor: &Tensor) -> Result<[usize; 2], tch::TchError> {
    tensor.size2().map(|(rows, columns)| [rows as usize, columns as usize])
}
